"""The lab led by a SpilloverGroup instead of a file: what platform engineers apply, see and change."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from crowd import Crowd
from lab_helpers import bucket_of, kubectl, playbook, rolled_out, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

GROUP = ("--namespace=spillover-system", "spillovergroup/spillover")
PERSON_RPS = 77


def group() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(kubectl("cloud", "get", *GROUP, "--output=json"))
    return read


def patched(spec: dict[str, Any]) -> None:
    kubectl("cloud", "patch", *GROUP, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


def condition(name: str) -> str:
    found = [one["status"] for one in group()["status"]["conditions"] if one["type"] == name]
    return found[0] if found else ""


def edited_by_a_person() -> None:
    """Set edge1's bucket to a rate that no controller would."""
    path, bucket = bucket_of("edge1")
    patch = [{"op": "replace", "path": path, "value": bucket | {"tokens_per_fill": PERSON_RPS, "fill_interval": "1s"}}]
    name = "envoyfilter/spillover-edgeapp-attempts"
    kubectl("edge1", "--namespace=istio-system", "patch", name, "--type=json", f"--patch={json.dumps(patch)}")


def is_the_persons() -> bool:
    return bool(bucket_of("edge1")[1]["tokens_per_fill"] == PERSON_RPS)


@pytest.fixture(scope="module")
def led_by_a_group(lead_by: Callable[[str], None]) -> Iterator[None]:
    lead_by("overflow")
    ended = playbook("controller", "--extra-vars", json.dumps({"controller_groups": True}))
    assert ended.returncode == 0, ended.stdout[-3000:]
    try:
        rolled_out("cloud", "spillover-system", "deployment/controller")
        yield
    finally:
        kubectl("cloud", "delete", *GROUP, "--ignore-not-found")
        ended = playbook("controller")
        assert ended.returncode == 0, ended.stdout[-3000:]


@pytest.mark.usefixtures("led_by_a_group")
def test_a_group_is_ready_and_shows_what_arrives_and_what_is_spilled() -> None:
    kubectl("cloud", "wait", *GROUP, "--for=condition=Ready", "--timeout=60s", timeout_s=70)
    with Crowd("edge1", 25) as crowd:
        wait_for(lambda: group()["status"].get("demandRpm", 0) > 60 * 20, timeout_s=40)
        wait_for(lambda: group()["status"].get("spilledRpm", 0) > 60 * 5, timeout_s=20)
        header, line = kubectl("cloud", "get", *GROUP).splitlines()
    assert not crowd.errors
    assert header.split() == ["NAME", "POLICY", "MODE", "DEMAND", "SPILLED", "SATURATED", "GAP", "AGE"]
    assert line.split()[:3] == ["spillover", "cooperative", "overflow"]
    assert group()["status"]["observedGeneration"] == group()["metadata"]["generation"]


@pytest.mark.usefixtures("led_by_a_group")
def test_a_paused_group_writes_nothing_and_goes_on_without_a_restart() -> None:
    pods = kubectl("cloud", "--namespace=spillover-system", "get", "pods", "--selector=app=controller", "--output=name")
    patched({"paused": True})
    wait_for(lambda: condition("Ready") == "False", timeout_s=20)
    edited_by_a_person()
    time.sleep(10)
    assert is_the_persons()
    patched({"paused": False})
    wait_for(lambda: not is_the_persons(), timeout_s=30)
    wait_for(lambda: condition("Ready") == "True", timeout_s=20)
    assert pods == kubectl(
        "cloud", "--namespace=spillover-system", "get", "pods", "--selector=app=controller", "--output=name"
    )


@pytest.mark.usefixtures("led_by_a_group")
def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(AssertionError, match=r"Unsupported value: \"magic\""):
        patched({"policy": "magic"})
    with pytest.raises(AssertionError, match="each link must join two sites"):
        patched({"links": [{"from": "edge1", "to": "nowhere"}]})
