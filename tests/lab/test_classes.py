"""Classes of requests: what arrives of each at a gateway is what the controller knows of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from crowd import Crowd
from lab_helpers import CLIENT_PORT, HOST, SITES, kubectl, playbook, rolled_out, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CLASSES = [
    {"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}},
    {"name": "links", "match": {"path": {"prefix": "/healthz/"}}},
    {"name": "rest"},
]
GOLD = {"x-tier": "gold"}
_READ = "import urllib.request as request; print(request.urlopen('http://127.0.0.1:8080/status').read().decode())"


def stand_up(classes: list[dict[str, Any]]) -> None:
    for name in ("workload", "controller"):
        ended = playbook(name, "--extra-vars", json.dumps({"spillover_classes": classes}))
        assert ended.returncode == 0, ended.stdout[-3000:]
    rolled_out("cloud", "spillover-system", "deployment/controller")


@pytest.fixture(scope="module", autouse=True)
def counted_apart(lead_by: Callable[[str], None]) -> Iterator[None]:
    lead_by("overflow")
    try:
        stand_up(CLASSES)
        yield
    finally:
        stand_up([])


def at_edge1() -> dict[str, Any]:
    """What a controller knows of edge1."""
    container = ("deployment/controller", "--container=controller", "--", "python3", "-c", _READ)
    known: dict[str, Any] = json.loads(kubectl("cloud", "--namespace=spillover-system", "exec", *container))
    site: dict[str, Any] = known["sites"]["edge1"]
    return site


def rates_rps() -> dict[str, float]:
    return {name: one["demand_rps"] or 0.0 for name, one in at_edge1()["classes"].items()}


def counted() -> dict[str, int]:
    """Requests of each class that edge1's gateway has received."""
    text = kubectl(
        "edge1", "--namespace=istio-system", "exec", "deployment/istio-ingressgateway", "--",
        "pilot-agent", "request", "GET", "stats?filter=rbac.policy.class_",
    )  # fmt: skip
    lines = [line.rpartition(": ") for line in text.splitlines()]
    return {name.split(".")[-2].removeprefix("class_")[3:]: int(number) for name, _, number in lines}


def test_each_class_has_the_rate_at_which_it_arrives() -> None:
    with Crowd("edge1", 6, headers=GOLD) as gold, Crowd("edge1", 18) as rest:
        wait_for(lambda: sum(rates_rps().values()) > 22, timeout_s=40)
        time.sleep(5)
        site = at_edge1()
    assert not gold.errors + rest.errors
    rates = {name: one["demand_rps"] for name, one in site["classes"].items()}
    assert rates == pytest.approx({"gold": 6, "links": 0, "rest": 18}, abs=1.5)
    assert sum(rates.values()) == pytest.approx(site["demand_rps"])


def test_a_request_counts_once_however_often_it_is_tried() -> None:
    before = counted()
    with httpx.Client(headers={"Host": HOST}, timeout=30, trust_env=False) as client:
        url = f"http://{SITES['edge1']['address']}:{CLIENT_PORT}/healthz"
        for place in range(200):  # more than a bucket holds: some are refused by a peer or by home and tried elsewhere
            client.get(url, headers=GOLD if place % 4 == 0 else {})
    grown = {name: number - before.get(name, 0) for name, number in counted().items()}
    assert grown["gold"] == 50
    assert grown["rest"] == 150


def test_nothing_is_shed_of_any_class_while_there_is_room() -> None:
    assert [one["shed_rps"] for one in at_edge1()["classes"].values()] == [0.0, 0.0, 0.0]
