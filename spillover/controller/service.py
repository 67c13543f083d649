"""The controller as a process: clusters, collectors, threads and the endpoints /healthz, /readyz and /metrics."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from spillover.clusters import Cluster
from spillover.controller.edges import Edges, Log
from spillover.controller.lanes import Lanes
from spillover.controller.loop import Controller
from spillover.controller.metrics import ControllerMetrics
from spillover.controller.writer import WeightsWriter
from spillover.serving import Answer, Endpoints, Routes
from spillover.sources.collector import read_collector
from spillover.sources.fetch import http_client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from spillover.controller.config import ControllerConfig
    from spillover.reconciliation import ClusterApi
    from spillover.sources.demand import CounterSample

_API_TIMEOUT_S = 2.0
"""For a call in its own thread; how long the loop waits for it is the configuration's deadline."""


def open_clusters(config: ControllerConfig) -> dict[str, ClusterApi]:
    """Open the API server of every site that has a VirtualService; ClusterError when a kubeconfig is unusable."""
    return {
        name: Cluster.from_kubeconfig(site.kubeconfig, timeout_s=_API_TIMEOUT_S)
        for name, site in config.sites.items()
        if site.virtual_service is not None
    }


def collector_readers(config: ControllerConfig) -> dict[str, Callable[[], CounterSample]]:
    """Return what reads the counter of each site."""
    client = http_client(config.read_deadline_s)
    return {
        name: partial(read_collector, client, site.collector_url, name, deadline_s=config.read_deadline_s)
        for name, site in config.sites.items()
    }


def routes(controller: Controller, registry: CollectorRegistry) -> Routes:
    """Return what the controller answers, by path."""

    def health() -> Answer:
        return Answer.text(200, "ok") if controller.alive else Answer.text(503, "the loop does not move")

    def ready() -> Answer:
        why = controller.not_ready
        return Answer.text(503, why) if why else Answer.text(200, "ready")

    return {"/healthz": health, "/readyz": ready, "/metrics": lambda: Answer.metrics(registry)}


def run_controller(
    config: ControllerConfig,
    listen: str,
    stop: Event,
    log: Log,
    *,
    clusters: Mapping[str, ClusterApi] | None = None,
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
    started
        Called with the port once it listens.
    """
    registry = CollectorRegistry()
    edges = Edges(time.monotonic, time.time, log, ControllerMetrics(registry), random.Random())  # noqa: S311  jitter
    names = list(config.sites)
    opened = open_clusters(config) if clusters is None else clusters
    writer = WeightsWriter(config, opened, Lanes(list(opened)), edges)
    controller = Controller(config, collector_readers(config), Lanes(names), writer, edges)
    with Endpoints(listen, routes(controller, registry)) as endpoints:
        started(endpoints.port)
        controller.run(stop)
