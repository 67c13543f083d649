"""The controller as a process: clusters, sources, threads and the endpoints /healthz, /readyz, /status and /metrics."""

from __future__ import annotations

import random
import secrets
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from spillover.clusters import Cluster
from spillover.controller.edges import Edges, Log
from spillover.controller.elector import Elector, LeaseApi
from spillover.controller.fence import FencedApi, FencedCluster
from spillover.controller.lanes import Lanes
from spillover.controller.leadership import Leadership
from spillover.controller.loop import Controller
from spillover.controller.metrics import ControllerMetrics
from spillover.controller.modes import of as mode_of
from spillover.controller.sources import dynatrace_reader, prometheus_reader
from spillover.controller.tokens import keep_token
from spillover.controller.writer import Writer
from spillover.serving import Answer, Endpoints, Routes, probes
from spillover.sources.collector import read_collector
from spillover.sources.fetch import http_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from threading import Event

    from spillover.controller.config import ControllerConfig, LeadershipConfig, SiteConfig
    from spillover.controller.reconcile import ClusterApi
    from spillover.sources.demand import CounterSample

_API_TIMEOUT_S = 2.0
"""For a call in its own thread; how long the loop waits for it is the configuration's deadline."""


def open_clusters(config: ControllerConfig) -> dict[str, Cluster]:
    """Open the API server of every site at which there is something to write; ClusterError for a bad kubeconfig."""
    return {
        name: Cluster.from_kubeconfig(config.sites[name].kubeconfig, timeout_s=_API_TIMEOUT_S)
        for name in sorted(mode_of(config).sites)
    }


def readers(config: ControllerConfig) -> dict[str, Callable[[], CounterSample]]:
    """Return what reads the counter of each site; SpilloverError if its settings cannot be used."""
    deadline_s = config.read_deadline_s

    def reader(name: str, site: SiteConfig) -> Callable[[], CounterSample]:
        if site.prometheus is not None:
            return prometheus_reader(site.prometheus, deadline_s)
        if site.dynatrace is not None:
            return dynatrace_reader(site.dynatrace, deadline_s)
        # A client each: one for all would keep 20 connections, and look through all it has at every request.
        client = http_client(deadline_s)
        return partial(read_collector, client, str(site.collector_url), name, deadline_s=deadline_s)

    return {name: reader(name, site) for name, site in config.sites.items()}


def open_leases(config: LeadershipConfig) -> LeaseApi:
    """Open the API server that has the lease; ClusterError for access that cannot be used."""
    if config.kubeconfig is None:
        return Cluster.from_pod(timeout_s=config.call_timeout_s)
    return Cluster.from_kubeconfig(config.kubeconfig, timeout_s=config.call_timeout_s)


def new_identity() -> str:
    """Return a name for this process alone: a container that starts again in its pod is another candidate."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


def routes(controller: Controller, registry: CollectorRegistry) -> Routes:
    """Return what the controller answers, by path."""

    def status() -> Answer:
        known = controller.status
        return Answer.json(503, {"error": "no decision yet"}) if known is None else Answer.json(200, known)

    both = probes(lambda: controller.alive, lambda: controller.not_ready, stuck="the loop does not move")
    return {**both, "/status": status, "/metrics": lambda: Answer.metrics(registry)}


def run_controller(
    config: ControllerConfig,
    listen: str,
    stop: Event,
    log: Log,
    *,
    clusters: Mapping[str, FencedApi] | None = None,
    leases: LeaseApi | None = None,
    started: Callable[[int], None] = lambda _port: None,
) -> None:
    """Control until ``stop`` is set; the tick under way is finished.

    Parameters
    ----------
    config
        From `spillover.controller.config.load_config`.
    listen
        ``host:port`` of the endpoints.
    stop
        Set it from a signal handler or another thread.
    log
        Takes an event and its fields.
    clusters
        API server by site; None opens those of the configuration.
    leases
        API server with the lease; None opens that of the configuration.
    started
        Called with the port once it listens.
    """
    edges = Edges(time.monotonic, time.time, log, ControllerMetrics(CollectorRegistry()), random.Random())  # noqa: S311  jitter
    if clusters is None:
        clusters = _kept(open_clusters(config), config, edges, stop)
    if config.leadership is None:
        alone = _controller(config, clusters, edges, leads=lambda: True)
        _serve(alone, listen, stop, edges, started)
        return
    leadership = Leadership(new_identity(), config.leadership.times())
    lease = open_leases(config.leadership) if leases is None else leases
    elector = Elector(leadership, lease, config.leadership.namespace, config.leadership.name, edges)
    fenced = {name: FencedCluster(cluster, leadership, edges.clock) for name, cluster in clusters.items()}
    with standing(elector, config.leadership.lease_duration_s):
        _serve(_controller(config, fenced, edges, leads=elector.leads), listen, stop, edges, started)


def _kept(clusters: dict[str, Cluster], config: ControllerConfig, edges: Edges, stop: Event) -> dict[str, Cluster]:
    """Keep the tokens of these clusters short-lived, if that is wanted."""
    if config.working_token_s is not None:
        for name, cluster in clusters.items():
            keep_token(name, cluster, config.working_token_s, edges, stop)
    return clusters


def _controller(
    config: ControllerConfig, clusters: Mapping[str, ClusterApi], edges: Edges, *, leads: Callable[[], bool]
) -> Controller:
    writer = Writer(mode_of(config), config.period_s, clusters, Lanes(list(clusters)), edges)
    return Controller(config, readers(config), Lanes(list(config.sites)), writer, edges, leads=leads)


def _serve(controller: Controller, listen: str, stop: Event, edges: Edges, started: Callable[[int], None]) -> None:
    with Endpoints(listen, routes(controller, edges.metrics.registry)) as endpoints:
        started(endpoints.port)
        controller.run(stop)


@contextmanager
def standing(elector: Elector, most_s: float) -> Iterator[None]:
    """Stand for election meanwhile, and release the lease after the last tick; it may run out after ``most_s``."""
    done = threading.Event()
    thread = threading.Thread(target=elector.run, args=(done,), name="elector", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(most_s)
