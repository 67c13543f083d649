from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from controller_fakes import ORIGINS, SITES, FakeSite, raw_config
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from spillover.clusters import ClusterError
from spillover.controller.config import ControllerConfig, parse_config
from spillover.controller.service import open_clusters, run_controller

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Collectors:
    """Three collectors on loopback whose counters follow the real clock, at 20 rps for edge1 and 5 for the others."""

    def __init__(self, server: HTTPServer) -> None:
        self.hang_s = dict.fromkeys(SITES, 0.0)
        self.began_s = time.monotonic()
        for site in SITES:
            server.expect_request(f"/{site}/demand").respond_with_handler(self._handler(site))

    def _handler(self, site: str) -> Any:
        def answer(_: Request) -> Response:
            time.sleep(self.hang_s[site])
            elapsed_s = time.monotonic() - self.began_s
            total = (20.0 if site == "edge1" else 5.0) * elapsed_s
            body = {"site": site, "requests_total": total, "sampled_at_s": 1e9 + elapsed_s, "age_s": 0.0}
            return Response(httpx.Response(200, json=body | {"gateways": 1}).content)

        return answer


class Daemon:
    def __init__(self, config: ControllerConfig) -> None:
        self.sites = {name: FakeSite(name) for name in ORIGINS}
        self.stop = threading.Event()
        self.lines: list[dict[str, Any]] = []
        self.port = 0
        self.listening = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(config,))

    def _run(self, config: ControllerConfig) -> None:
        run_controller(config, "127.0.0.1:0", self.stop, self._log, clusters=self.sites, started=self._started)

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


@pytest.fixture
def daemon(collectors: Collectors, threaded: HTTPServer, tmp_path: Path) -> Iterator[Daemon]:
    assert collectors.began_s > 0
    raw = raw_config(tmp_path, window_s=0.4, period_s=0.4)
    config = parse_config(raw)
    urls = {name: threaded.url_for(f"/{name}") for name in SITES}
    # The checked form has no path: a collector owns its address. On loopback three share one server.
    sites = {name: site.model_copy(update={"collector_url": urls[name]}) for name, site in config.sites.items()}
    running = Daemon(config.model_copy(update={"sites": sites}))
    running.thread.start()
    assert running.listening.wait(10)
    yield running
    running.stop.set()
    running.thread.join(10)
    assert not running.thread.is_alive()


def test_daemon_becomes_ready_and_spills(daemon: Daemon) -> None:
    assert daemon.wait_for("/readyz", 200).text == "ready\n"
    ends = time.monotonic() + 10
    while daemon.sites["edge1"].writes == 0 and time.monotonic() < ends:
        time.sleep(0.05)
    assert daemon.sites["edge1"].weights["edge1"] == pytest.approx(50, abs=5)
    assert daemon.get("/healthz").status_code == 200
    metrics = daemon.get("/metrics").text
    for name in ("spillover_demand_rps{", "spillover_weight{", "spillover_writes_total{", "spillover_tick_duration"):
        assert name in metrics


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


def test_unusable_kubeconfig_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="kubeconfig"):
        open_clusters(parse_config(raw_config(tmp_path)))
