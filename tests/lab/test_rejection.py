"""What a proxy rejects is taken back at once: left in force, it would make the proxy reject all that comes after it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from crowd import Crowd
from lab_helpers import CLIENT_PORT, HOST, ROOT, SITES, kubectl, playbook
from telling import effective, peers, tell

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600), pytest.mark.usefixtures("no_controller")]

MOST_S = 10.0
"""From the change to its being taken back."""

GATEWAY_OBJECTS = ("doors", "edgeapp-attempts", "edgeapp-grants")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, lead_by: Callable[[str], None]) -> None:
    lead_by("overflow")
    monkeypatch.setenv("ANSIBLE_FILTER_PLUGINS", f"{ROOT / 'tests/lab/broken_filters'}:{ROOT / 'plugins/filter'}")


def stored() -> dict[str, Any]:
    names = [f"envoyfilter/spillover-{name}" for name in GATEWAY_OBJECTS]
    text = kubectl("edge1", "--namespace=istio-system", "get", *names, "--output=json")
    return {item["metadata"]["name"]: item["spec"] for item in json.loads(text)["items"]}


def durations_s(report: dict[str, Any], *names: str) -> float:
    """Return the time from the beginning of the first of these tasks to the end of the last."""
    tasks = [task["task"] for play in report["plays"] for task in play["tasks"] if task["task"]["name"].endswith(names)]
    assert len(tasks) == len(names), [task["name"] for task in tasks]
    at = [moment for task in tasks for moment in (task["duration"]["start"], task["duration"]["end"])]
    return seconds(max(at)) - seconds(min(at))


def seconds(moment: str) -> float:
    whole, _, part = moment.rstrip("Z").partition(".")
    return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{part}")


@pytest.mark.usefixtures("broken")
def test_an_update_with_an_unknown_type_is_taken_back_within_10_s_and_its_rejection_quoted() -> None:
    before = stored()
    with Crowd("edge1", 10) as crowd:
        ended = playbook("workload", "--limit=edge1")
    report, _ = json.JSONDecoder().raw_decode(ended.stdout[ended.stdout.index("{") :])
    assert ended.returncode == 2
    said = [
        host["msg"]
        for play in report["plays"]
        for task in play["tasks"]
        for host in task["hosts"].values()
        if task["task"]["name"].endswith("Say what was wrong")
    ]
    assert len(said) == 1
    assert said[0].startswith("edge1: istio-system/deployment/istio-ingressgateway rejected ")
    assert "NobodyKnows" in said[0]
    assert said[0].endswith("; what was in force before is in force again")
    assert durations_s(report, "Tell the proxies", "See that they take it", "Put back what was there") <= MOST_S
    assert stored() == before
    assert not crowd.errors

    # And the proxy takes what comes next.
    tell("edge1", bucket_rps=0.0)
    effective()
    with httpx.Client(headers={"Host": HOST}, trust_env=False) as client:
        url = f"http://{SITES['edge1']['address']}:{CLIENT_PORT}/healthz"
        served = [client.get(url).headers["x-served-by"] for _ in range(10)]
    tell("edge1")
    assert set(served[2:]) <= set(peers("edge1"))
