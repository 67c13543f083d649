"""A site whose Envoy is too old: a stand-up gives it weights, and the controller leads it by them until it is newer."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from crowd import Crowd
from injecting import on_server, undone
from lab_helpers import KUBECTL, kubectl, playbook, wait_for
from leading import ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SITE, APPLICATION = "edge2", "edgeapp"
LOOKS_S = 30.0
"""The controller looks every 10 s for what came or went."""


def workload(*arguments: str) -> str:
    ended = playbook("workload", f"--limit={SITE}", *arguments)
    assert ended.returncode == 0, ended.stdout[-3000:]
    return ended.stdout


def why_not(condition: str) -> str | None:
    """Return why a condition of the site is not met: nothing when it is, None while the controller does not know."""
    last = ticks(5)
    why: str | None = last[-1].get(condition, {}).get(SITE) if last else None
    return why


@pytest.fixture(scope="module")
def says_it_is_old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a kubectl that is the real one, but for what the proxies say of their version."""
    program = tmp_path_factory.mktemp("old") / "kubectl"
    info = json.dumps({"version": "0123abc/1.39.2/Clean/RELEASE/BoringSSL"})
    program.write_text(f'#!/bin/sh\ncase "$*" in *server_info*) echo \'{info}\';; *) exec {KUBECTL} "$@";; esac\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def too_old(lead_by: Callable[[str], None], says_it_is_old: Path) -> Iterator[str]:
    lead_by("overflow")
    try:
        yield workload(f"--extra-vars=workload_kubectl={says_it_is_old}")
    finally:
        workload()
        wait_for(lambda: why_not("overflow_supported") == "", timeout_s=LOOKS_S)


def test_a_site_with_an_old_envoy_is_led_by_weights_and_serves_everybody(too_old: str) -> None:
    assert (
        "edge2 is led by weights: the gateway's proxy is Envoy 1.39.2, and overflow mode needs 1.40 or newer" in too_old
    )
    route = f"virtualservice/{APPLICATION}"
    spec = json.loads(kubectl(SITE, "--namespace=apps", "get", route, "--output=json"))["spec"]
    assert sum(one.get("weight", 0) for one in spec["http"][0]["route"]) == 100
    wait_for(lambda: bool(why_not("overflow_supported")), timeout_s=LOOKS_S)
    with Crowd(SITE, 10) as crowd:
        wait_for(lambda: len(crowd.requests) >= 50)
    assert not crowd.errors


@pytest.mark.usefixtures("too_old")
def test_weights_that_no_proxy_hears_of_are_noticed_and_so_is_that_it_does_again() -> None:
    # Else the proxies would be cut off with half of the change to weights.
    wait_for(lambda: bool(why_not("overflow_supported")), timeout_s=LOOKS_S)
    # istiod stores them and checks them; what it says to the proxies is lost.
    lost = [("PREROUTING", "-p", "tcp", way, "15012", "-j", "DROP") for way in ("--dport", "--sport")]
    with Crowd(SITE, 40) as crowd, ExitStack() as stack:
        for rule in lost:
            stack.enter_context(undone(lambda rule=rule: on_server(SITE, "iptables", "-t", "raw", "-D", *rule)))
            on_server(SITE, "iptables", "-t", "raw", "-I", *rule)
        wait_for(lambda: bool(why_not("propagated")), timeout_s=60)
        stack.close()
        wait_for(lambda: why_not("propagated") == "", timeout_s=90)
    assert not crowd.errors


def test_an_experiment_wants_what_it_asks_for_or_nothing(says_it_is_old: Path) -> None:
    old = f"--extra-vars=workload_kubectl={says_it_is_old}"
    ended = playbook("workload", f"--limit={SITE}", old, "--extra-vars=workload_fall_back=false")
    assert ended.returncode != 0
    assert "edge2: the gateway's proxy is Envoy 1.39.2, and overflow mode needs 1.40 or newer" in ended.stdout
