"""Classes of requests: what arrives of each at a gateway is what the controller knows of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from crowd import Crowd
from lab_helpers import CLIENT_PORT, HOST, SITES, kubectl, playbook, rolled_out, wait_for
from leading import answer
from telling import PLENTY, effective, tell

from spillover.sources.envoy import STATS_PATH, parse_by_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CLASSES = [
    {"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}},
    {"name": "links", "match": {"path": {"prefix": "/healthz/"}}},
    {"name": "rest"},
]
GOLD = {"x-tier": "gold"}


def stand_up(*arguments: str) -> None:
    for name in ("workload", "controller"):
        ended = playbook(name, *arguments)
        assert ended.returncode == 0, ended.stdout[-3000:]
    rolled_out("cloud", "spillover-system", "deployment/controller")


@pytest.fixture(scope="module", autouse=True)
def counted_apart(lead_by: Callable[[str], None]) -> Iterator[None]:
    lead_by("overflow")
    try:
        stand_up("--extra-vars", json.dumps({"spillover_classes": CLASSES}))
        yield
    finally:
        stand_up()


def at_edge1() -> dict[str, Any]:
    """What a controller knows of edge1."""
    known: dict[str, Any] = json.loads(answer("/status"))
    site: dict[str, Any] = known["sites"]["edge1"]
    return site


def rates_rps() -> dict[str, float]:
    return {name: one["demand_rps"] or 0.0 for name, one in at_edge1()["classes"].items()}


def counted() -> dict[str, float]:
    """Requests of each class that edge1's gateway has received."""
    text = kubectl(
        "edge1", "--namespace=istio-system", "exec", "deployment/istio-ingressgateway", "--",
        "pilot-agent", "request", "GET", STATS_PATH.removeprefix("/"),
    )  # fmt: skip
    return parse_by_class(text)


def test_each_class_has_the_rate_at_which_it_arrives() -> None:
    with Crowd("edge1", 6, headers=GOLD) as gold, Crowd("edge1", 18) as rest:
        wait_for(lambda: sum(rates_rps().values()) > 22, timeout_s=40)
        time.sleep(5)
        site = at_edge1()
    assert not gold.errors + rest.errors
    rates = {name: one["demand_rps"] for name, one in site["classes"].items()}
    assert rates == pytest.approx({"gold": 6, "links": 0, "rest": 18}, abs=1.5)
    assert sum(rates.values()) == pytest.approx(site["demand_rps"])


def test_nothing_is_shed_of_any_class_while_there_is_room() -> None:
    assert [one["shed_rps"] for one in at_edge1()["classes"].values()] == [0.0, 0.0, 0.0]


@pytest.mark.usefixtures("no_controller")
def test_a_request_counts_once_when_a_peer_has_refused_it_and_another_serves_it() -> None:
    for site in SITES:
        tell(site)
    tell("edge1", bucket_rps=0.0)
    tell("edge2", grants_rps={"edge1": 0.0, "cloud": float(PLENTY)})
    effective()
    before, served = counted(), []
    with httpx.Client(headers={"Host": HOST}, timeout=30, trust_env=False) as client:
        url = f"http://{SITES['edge1']['address']}:{CLIENT_PORT}/healthz"
        for place in range(80):
            answer = client.get(url, headers=GOLD if place % 4 == 0 else {})
            served.append(answer.headers["x-served-by"])
    assert served.count("cloud") >= 70  # half of them after edge2 had refused
    grown = {name: number - before.get(name, 0) for name, number in counted().items()}
    assert (grown["gold"], grown["rest"]) == (20, 60)
