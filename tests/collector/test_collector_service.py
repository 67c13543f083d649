from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from spillover.collector.service import CollectorSettings, run_collector
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_httpserver import HTTPServer

SERIES = 'envoy_http_downstream_rq_total{http_conn_manager_prefix="outbound_0.0.0.0_8080"}'


class Running:
    def __init__(self, gateway: HTTPServer) -> None:
        self.gateway = gateway
        self.stop = threading.Event()
        self.listening = threading.Event()
        self.port = 0

    def serve(self, body: str, status: int = 200) -> None:
        self.gateway.clear()
        self.gateway.expect_request("/stats/prometheus").respond_with_data(body, status=status)

    def started(self, port: int) -> None:
        self.port = port
        self.listening.set()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)

    def demand(self) -> dict[str, Any]:
        answer = self.get("/demand")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture
def running(httpserver: HTTPServer) -> Iterator[Running]:
    service = Running(httpserver)
    service.serve(f"{SERIES} 1000\n")
    settings = CollectorSettings(
        site="edge1",
        gateways="127.0.0.1",
        listen="127.0.0.1:0",
        port=httpserver.port,
        interval_s=0.2,
        fresh_s=0.001,
        resolve_s=0.05,
    )
    thread = threading.Thread(target=run_collector, args=(settings, service.stop), kwargs={"started": service.started})
    thread.start()
    assert service.listening.wait(5)
    for _ in range(100):
        if service.get("/readyz").status_code == 200:
            break
        threading.Event().wait(0.05)
    yield service
    service.stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_demand_has_the_fields_of_the_contract(running: Running) -> None:
    body = running.demand()
    assert {"site", "requests_total", "sampled_at_s", "gateways", "age_s"} <= set(body)
    assert (body["site"], body["gateways"]) == ("edge1", 1)
    assert body["age_s"] < 5


def test_counter_grows_with_the_gateway(running: Running) -> None:
    before = running.demand()
    running.serve(f"{SERIES} 1024\n")
    after = running.demand()
    assert after["requests_total"] - before["requests_total"] == 24
    assert after["sampled_at_s"] > before["sampled_at_s"]
    assert after["continuous_since_s"] == before["continuous_since_s"]


def test_requests_are_counted_by_class_beside_the_total(running: Running) -> None:
    gold = (
        "envoy_http_rbac_policy_class_00_gold"
        '{authz_dry_run_result="allowed",http_conn_manager_prefix="outbound_0.0.0.0_8080"}'
    )
    assert running.demand()["requests_by_class"] == {}
    running.serve(f"{SERIES} 1024\n{gold} 6\n")
    assert running.demand()["requests_by_class"] == {"gold": 6}


def test_demand_says_where_requests_went_since_the_start(running: Running) -> None:
    went = 'envoy_cluster_upstream_rq_total{cluster_name="outbound|443||cloud.peers.internal"}'
    guests = SERIES.replace("8080", "8443")
    running.serve(f"{SERIES} 1024\n{went} 5\n{guests} 7\n")
    running.demand()
    running.serve(f"{SERIES} 1030\n{went} 9\n{guests} 8\n")
    assert running.demand()["flows"] == {"cloud.peers.internal": 9, "guests": 8}


def test_gateway_in_trouble_shows_as_age(running: Running) -> None:
    before = running.demand()
    running.serve("no healthy upstream", status=503)
    threading.Event().wait(0.3)
    after = running.demand()
    assert after["sampled_at_s"] == before["sampled_at_s"]
    assert after["age_s"] >= 0.25


def test_probes_and_metrics_answer(running: Running) -> None:
    assert running.get("/healthz").status_code == 200
    assert running.get("/readyz").status_code == 200
    assert "spillover_collector_gateways 1.0" in running.get("/metrics").text
    assert running.get("/stats").status_code == 404


def test_without_any_sample_it_is_not_ready_and_says_why() -> None:
    service, stop = [0], threading.Event()
    listening = threading.Event()

    def started(port: int) -> None:
        service[0] = port
        listening.set()

    settings = CollectorSettings(site="edge1", gateways="127.0.0.1", listen="127.0.0.1:0", port=9)
    thread = threading.Thread(target=run_collector, args=(settings, stop), kwargs={"started": started})
    thread.start()
    assert listening.wait(5)
    try:
        for path in ("/demand", "/readyz"):
            answer = httpx.get(f"http://127.0.0.1:{service[0]}{path}", trust_env=False)
            assert answer.status_code == 503
        assert httpx.get(f"http://127.0.0.1:{service[0]}/healthz", trust_env=False).status_code == 200
    finally:
        stop.set()
        thread.join(5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"site": " "}, "site must not be empty, got ' '"),
        ({"gateways": ""}, "gateways must not be empty, got ''"),
        ({"port": 0}, "port must be 1 to 65535, got 0"),
        ({"interval_s": 0.0}, r"interval_s must be above 0, got 0\.0"),
    ],
)
def test_wrong_setting_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpilloverError, match=sentence):
        CollectorSettings(**({"site": "edge1", "gateways": "gateways", "listen": "127.0.0.1:0"} | change))
