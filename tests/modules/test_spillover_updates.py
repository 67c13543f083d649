from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "plugins/modules/spillover_updates.py"
PROXY = "istio-system/deployment/istio-ingressgateway"

KUBECTL = """\
#!/usr/bin/env python3
# Answers as kubectl would: the n-th question about statistics gets the n-th answer, and the last one ever after.
import json, sys
from pathlib import Path
here = Path(__file__).parent
if "logs" in sys.argv:
    print((here / "log").read_text())
    raise SystemExit
assert sys.argv[1:5] == ["--context=edge1", "--namespace=istio-system", "exec", "deployment/istio-ingressgateway"]
answers = json.loads((here / "answers").read_text())
(here / "answers").write_text(json.dumps(answers[1:] or answers))
if answers[0] is None:
    raise SystemExit(1)
print("listener_manager.lds.update_success: %d\\nlistener_manager.lds.update_rejected: %d" % tuple(answers[0]))
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run_module(answers: list[tuple[int, int] | None], log: str = "", **options: Any) -> dict[str, Any]:
        (tmp_path / "kubectl").write_text(KUBECTL)
        (tmp_path / "kubectl").chmod(0o755)
        (tmp_path / "answers").write_text(json.dumps(answers))
        (tmp_path / "log").write_text(log)
        kubectl = [str(tmp_path / "kubectl"), "--context=edge1"]
        arguments: Mapping[str, Any] = {
            "kubectl": kubectl,
            "proxies": [PROXY],
            "settle_s": 0.1,
            "wait_s": 0.2,
        } | options
        ended = subprocess.run(
            [sys.executable, str(MODULE)],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env=os.environ | {"_ANSIBLE_ARGS": "", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return json.loads(ended.stdout)  # type: ignore[no-any-return]

    return run_module


def counts(taken: int, rejected: int = 0) -> dict[str, dict[str, int]]:
    return {PROXY: {"taken": taken, "rejected": rejected}}


def test_the_options_are_the_documented_ones() -> None:
    source = MODULE.read_text()
    documented = yaml.safe_load(source.partition('DOCUMENTATION = r"""')[2].partition('"""')[0])
    assert set(documented["options"]) == {"kubectl", "proxies", "since", "wait_s", "settle_s"}


def test_without_a_beginning_it_counts(run: Callable[..., dict[str, Any]]) -> None:
    result = run([(4, 1)])
    assert (result["changed"], result["counts"]) == (False, counts(4, 1))


def test_a_proxy_that_cannot_be_asked_is_left_out(run: Callable[..., dict[str, Any]]) -> None:
    assert run([None])["counts"] == {}


def test_an_update_that_is_taken_is_no_failure(run: Callable[..., dict[str, Any]]) -> None:
    result = run([(5, 1)], since=counts(4, 1))
    assert "failed" not in result
    assert result["counts"] == counts(5, 1)


def test_a_rejected_update_is_a_failure_with_the_proxys_own_words(run: Callable[..., dict[str, Any]]) -> None:
    log = "2026-11-24 info ads Push\n2026-11-24 warn ads ADS:LDS: ACK ERROR gateway-1 Internal:no such type\n"
    result = run([(5, 1), (5, 2)], log, since=counts(4, 1), settle_s=5)
    assert result["failed"]
    assert result["msg"] == f"{PROXY} rejected 1 update: gateway-1 Internal:no such type"


def test_a_rejection_that_nobody_logged_is_a_failure_too(run: Callable[..., dict[str, Any]]) -> None:
    assert run([(4, 2)], since=counts(4, 1))["msg"] == f"{PROXY} rejected 1 update"


def test_a_beginning_that_is_none_is_named(run: Callable[..., dict[str, Any]]) -> None:
    result = run([(4, 1)], since={PROXY: {"took": 3}})
    assert result["msg"].startswith("since must be the counts that this module returned, got ")
