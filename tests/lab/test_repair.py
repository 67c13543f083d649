"""The stand-up on a standing lab: it predicts what it would change, changes exactly that, and runs in parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lab_helpers import DOCKER, changes, kubectl, playbook, run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

SERVER = [*DOCKER, "exec", "spillover-edge1"]
KUBELET = "/var/lib/kubelet/config.yaml"
ROUTES = "workload : Tell the proxies"
SETTINGS = "node : Write kubelet's settings"
RESTART = "node : Restart kubelet"


@pytest.fixture(scope="module")
def damaged() -> None:
    """Delete edge1's VirtualService and give its kubelet another limit."""
    kubectl("edge1", "--namespace=apps", "delete", "virtualservice/edgeapp", "--ignore-not-found")
    ended = run([*SERVER, "sed", "--in-place", "s/^maxPods: .*/maxPods: 7/", KUBELET])
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def predicted(damaged: None) -> dict[tuple[str, str], list[Any]]:  # noqa: ARG001  what stands is damaged by now
    return changes(playbook("standup", "--check", "--diff", "--limit=edge1"))


@pytest.fixture(scope="module")
def repaired(predicted: dict[tuple[str, str], list[Any]]) -> dict[tuple[str, str], list[Any]]:  # noqa: ARG001  first
    # One site is enough and quicker: that a stand-up of all of them changes nothing is looked at before these tests.
    return changes(playbook("standup", "--limit=edge1"))


def test_check_mode_predicts_the_repair_and_shows_it(predicted: dict[tuple[str, str], list[Any]]) -> None:
    assert set(predicted) == {("edge1", ROUTES), ("edge1", SETTINGS), ("edge1", RESTART)}
    assert "maxPods: 7" in json.dumps(predicted["edge1", SETTINGS])
    assert "edgeapp.example" in json.dumps(predicted["edge1", ROUTES])


def test_the_next_stand_up_repairs_exactly_what_was_damaged(repaired: dict[tuple[str, str], list[Any]]) -> None:
    assert set(repaired) == {("edge1", ROUTES), ("edge1", SETTINGS), ("edge1", RESTART)}
    assert kubectl("edge1", "--namespace=apps", "get", "virtualservice/edgeapp", "--output=name").strip()
    assert "maxPods: 7" not in run([*SERVER, "cat", KUBELET]).stdout


@pytest.mark.usefixtures("repaired")
def test_one_part_at_one_site_runs_alone() -> None:
    assert changes(playbook("standup", "--limit=edge1", "--tags=workload")) == {}
