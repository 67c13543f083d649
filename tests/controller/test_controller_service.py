from __future__ import annotations

import itertools
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from controller_fakes import ORIGINS, SITES, FakeSite, host, raw_config
from fixtures.robot import Robot
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from spillover.clusters import ClusterError
from spillover.controller.config import ControllerConfig, parse_config
from spillover.controller.service import open_clusters, readers, run_controller
from spillover.meshes.objects import read_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from fixtures.apiserver import ApiServer
    from fixtures.prometheus import Gateways


class Collectors:
    """Three collectors on loopback whose counters follow the real clock, at 20 rps for edge1 and 5 for the others."""

    def __init__(self, server: HTTPServer) -> None:
        self.hang_s = dict.fromkeys(SITES, 0.0)
        self.shares: dict[str, float] = {}
        self.began_s = time.monotonic()
        for site in SITES:
            server.expect_request(f"/{site}/demand").respond_with_handler(self._handler(site))

    def _handler(self, site: str) -> Any:
        def answer(_: Request) -> Response:
            time.sleep(self.hang_s[site])
            elapsed_s = time.monotonic() - self.began_s
            total = (20.0 if site == "edge1" else 5.0) * elapsed_s
            body = {"site": site, "requests_total": total, "sampled_at_s": 1e9 + elapsed_s, "age_s": 0.0}
            body["requests_by_class"] = {name: share * total for name, share in self.shares.items()}
            return Response(httpx.Response(200, json=body | {"gateways": 1}).content)

        return answer


class Daemon:
    def __init__(self, config: ControllerConfig, *, real_clusters: bool = False) -> None:
        self.sites = {name: FakeSite(name) for name in ORIGINS}
        self.clusters = None if real_clusters else self.sites
        self.stop = threading.Event()
        self.lines: list[dict[str, Any]] = []
        self.port = 0
        self.listening = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(config,))

    def _run(self, config: ControllerConfig) -> None:
        run_controller(config, "127.0.0.1:0", self.stop, self._log, clusters=self.clusters, started=self._started)

    def _log(self, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append({"event": event, **fields})

    def _started(self, port: int) -> None:
        self.port = port
        self.listening.set()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)

    def wait_for(self, path: str, status: int) -> httpx.Response:
        ends = time.monotonic() + 10
        while (answer := self.get(path)).status_code != status and time.monotonic() < ends:
            time.sleep(0.05)
        return answer


@pytest.fixture
def threaded() -> Iterator[HTTPServer]:
    """A server that answers others while one request hangs; the plugin's own answers one after another."""
    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        yield server


@pytest.fixture
def collectors(threaded: HTTPServer) -> Collectors:
    return Collectors(threaded)


def with_collectors(raw: dict[str, Any], server: HTTPServer) -> ControllerConfig:
    config = parse_config(raw)
    urls = {name: server.url_for(f"/{name}") for name in SITES}
    # The checked form has no path: a collector owns its address. On loopback three share one server.
    sites = {
        name: site.model_copy(update={"collector_url": urls[name]}) if site.collector_url else site
        for name, site in config.sites.items()
    }
    return config.model_copy(update={"sites": sites})


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    daemon.thread.start()
    assert daemon.listening.wait(10)
    try:
        yield daemon
    finally:
        daemon.stop.set()
        daemon.thread.join(10)
    assert not daemon.thread.is_alive()


@pytest.fixture
def daemon(collectors: Collectors, threaded: HTTPServer, tmp_path: Path) -> Iterator[Daemon]:
    assert collectors.began_s > 0
    with running(Daemon(with_collectors(raw_config(tmp_path, window_s=0.4, period_s=0.4), threaded))) as started:
        yield started


def test_daemon_becomes_ready_and_spills(daemon: Daemon) -> None:
    assert daemon.wait_for("/readyz", 200).text == "ready\n"
    ends = time.monotonic() + 10
    while daemon.sites["edge1"].writes == 0 and time.monotonic() < ends:
        time.sleep(0.05)
    assert daemon.sites["edge1"].weights["edge1"] == pytest.approx(50, abs=5)
    assert daemon.get("/healthz").status_code == 200
    metrics = daemon.get("/metrics").text
    status = daemon.get("/status").json()
    assert status["sites"]["edge1"]["demand_rps"] == pytest.approx(20.0, rel=0.3)
    assert status["sites"]["edge1"]["weights"]["edge1"] == pytest.approx(50, abs=10)
    for name in (
        "spillover_gap_ratio",
        "spillover_demand_rps{",
        "spillover_weight{",
        "spillover_writes_total{",
        "spillover_tick_duration",
    ):
        assert name in metrics


def test_status_has_the_demand_of_each_class_as_the_collectors_count_it(
    collectors: Collectors, threaded: HTTPServer, tmp_path: Path
) -> None:
    collectors.shares = {"gold": 0.25, "rest": 0.75}
    match = {"header": {"name": "x-tier", "exact": "gold"}}
    raw = raw_config(tmp_path, window_s=0.4, period_s=0.4, classes=[{"name": "gold", "match": match}, {"name": "rest"}])
    with running(Daemon(with_collectors(raw, threaded))) as daemon:
        daemon.wait_for("/readyz", 200)
        wait_for(lambda: daemon.get("/status").json()["sites"]["edge1"]["demand_rps"] is not None)
        edge1 = daemon.get("/status").json()["sites"]["edge1"]
        rates = {name: one["demand_rps"] for name, one in edge1["classes"].items()}
        assert rates == pytest.approx({"gold": edge1["demand_rps"] / 4, "rest": 3 * edge1["demand_rps"] / 4})
        assert 'spillover_demand_by_class_rps{class="gold",site="edge1"}' in daemon.get("/metrics").text


def test_site_with_a_prometheus_spills_like_the_others(
    gateways: Gateways, collectors: Collectors, threaded: HTTPServer, tmp_path: Path
) -> None:
    raw = raw_config(tmp_path)
    del raw["sites"]["edge1"]["collector_url"]
    source = {"url": gateways.server.url, "query": f'tickets{{job="{gateways.job}"}}', "interval_s": 1}
    raw["sites"]["edge1"]["prometheus"] = source
    with running(Daemon(with_collectors(raw, threaded))) as daemon:
        ends = time.monotonic() + 30
        while not daemon.sites["edge1"].writes and time.monotonic() < ends:
            gateways.show(a=f"tickets {20.0 * (time.monotonic() - collectors.began_s)}\n")
            time.sleep(0.02)
        assert daemon.sites["edge1"].weights["edge1"] == pytest.approx(50, abs=20)
        assert daemon.get("/status").json()["sites"]["edge1"]["source"] == "prometheus"


def test_hung_collector_delays_no_tick(collectors: Collectors, daemon: Daemon) -> None:
    daemon.wait_for("/readyz", 200)
    collectors.hang_s["edge2"] = 3.0
    time.sleep(0.6)
    before = len(daemon.lines)
    time.sleep(1.6)
    ticks = [line["time"] for line in daemon.lines[before:] if line["event"] == "tick"]
    assert len(ticks) >= 3
    assert all(line["demand_rpm"]["edge1"] is not None for line in daemon.lines[before:] if line["event"] == "tick")


def test_stop_ends_within_a_period(daemon: Daemon) -> None:
    daemon.wait_for("/readyz", 200)
    began = time.monotonic()
    daemon.stop.set()
    daemon.thread.join(10)
    assert time.monotonic() - began < 2.0


def test_the_second_of_two_takes_over_at_a_real_api_server_when_the_first_ends(
    apiserver: ApiServer, namespace: str, collectors: Collectors, threaded: HTTPServer, tmp_path: Path
) -> None:
    assert collectors.began_s > 0
    stored = {name: apiserver.create(virtual_service(namespace, name)) for name in ORIGINS}
    raw = raw_config(tmp_path, window_s=0.4, period_s=0.4)
    times = {"lease_duration_s": 3, "renew_deadline_s": 2, "retry_period_s": 0.3}
    raw["leadership"] = {"namespace": namespace, "name": "controller", **times}
    raw["working_token_s"] = 600
    token = Robot(apiserver, namespace, RULES).token()
    raw["leadership"]["kubeconfig"] = str(apiserver.kubeconfig(tmp_path / "kubeconfig", token=token))
    for name in ORIGINS:
        raw["sites"][name]["virtual_service"] = {"namespace": namespace, "name": name}
    config = with_collectors(raw, threaded)

    def epochs() -> set[int]:
        return {read_epoch(apiserver.read(made)) for made in stored.values()}

    with running(Daemon(config, real_clusters=True)) as first:
        wait_for(lambda: epochs() == {1} and written(first))
        with running(Daemon(config, real_clusters=True)) as second:
            assert second.wait_for("/readyz", 200).text == "ready\n"
            assert not written(second)
            # Each has its own tokens, also the one that does not lead.
            for daemon, name in itertools.product((first, second), ORIGINS):
                wait_for(lambda daemon=daemon, name=name: f'renewals_total{{site="{name}"}} 1.0' in shown(daemon))
            assert "spillover_leading 0.0" in second.get("/metrics").text
            first.stop.set()
            wait_for(lambda: epochs() == {2})
            assert "spillover_leading 1.0" in second.get("/metrics").text
    leadings = [
        [(line["event"], line["epoch"]) for line in daemon.lines if line.get("epoch")] for daemon in (first, second)
    ]
    assert leadings == [
        [("leading", 1), ("not_leading", 1)],
        [("leading", 2), ("not_leading", 2)],
    ]
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    metadata = {"namespace": namespace, "name": "controller"}
    assert apiserver.read(lease | {"metadata": metadata})["spec"]["holderIdentity"] == ""


RULES = [
    {"apiGroups": ["networking.istio.io"], "resources": ["virtualservices"], "verbs": ["get", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["controller"],
        "verbs": ["get", "update"],
    },
]
"""As the roles give them."""


def virtual_service(namespace: str, name: str) -> dict[str, Any]:
    route = [{"destination": {"host": host(name, site)}, "weight": 100 if site == name else 0} for site in SITES]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"hosts": ["edgeapp.example"], "http": [{"route": route}]},
    }


def shown(daemon: Daemon) -> str:
    return daemon.get("/metrics").text


def written(daemon: Daemon) -> bool:
    return any(line["event"] == "weights_written" for line in daemon.lines)


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_unusable_kubeconfig_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="kubeconfig"):
        open_clusters(parse_config(raw_config(tmp_path)))


class KeptCollector(BaseHTTPRequestHandler):
    """The collectors of all sites, each at the address that is its name; they keep connections and count them."""

    protocol_version = "HTTP/1.1"
    timeout = 5
    connections = 0

    def setup(self) -> None:
        super().setup()
        KeptCollector.connections += 1

    def do_GET(self) -> None:
        site = self.headers["Host"].partition(":")[0]
        body = json.dumps({"site": site, "requests_total": 1, "sampled_at_s": 1, "age_s": 0}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_each_of_many_collectors_keeps_its_connection() -> None:
    sites = [f"127.0.0.{last}" for last in range(1, 41)]
    with ThreadingHTTPServer(("0.0.0.0", 0), KeptCollector) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = {site: f"http://{site}:{server.server_port}" for site in sites}
        config = parse_config(
            {"period_s": 5, "sites": {site: {"capacity_rpm": 60, "collector_url": url} for site, url in urls.items()}}
        )
        reads = readers(config)
        for _ in range(3):
            assert {read().requests_total for read in reads.values()} == {1.0}
        server.shutdown()
    assert KeptCollector.connections == len(sites)
