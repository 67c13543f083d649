"""The collector as a process: resolver, poller and the endpoints /demand, /healthz, /readyz and /metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge

from spillover.collector.poller import GatewayPoller
from spillover.collector.resolver import Resolver, lookup
from spillover.model import SpilloverError
from spillover.serving import Answer, Endpoints, Routes
from spillover.sources.envoy import (
    CLIENT_LISTENER,
    STATS_PATH,
    STATS_PORT,
    GatewayStats,
    parse_by_class,
    parse_flows,
    parse_in_flight,
    parse_replicas,
    parse_requests_total,
)
from spillover.sources.fetch import fetch_text, http_client

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    import httpx

    from spillover.collector.counter import SiteCount

_READ_DEADLINE_S = 0.3
"""For one gateway: the controller's own deadline at a period of 1 s is 0.45 s."""

_MAX_STATS_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """What the collector is told.

    Parameters
    ----------
    site : str
        Whose demand it counts.
    gateways : str
        Name that resolves to the gateway pods' addresses (a headless Service), or one address.
    listen : str
        ``host:port`` of its own endpoints.
    services : tuple of str
        Full names of the application's Services at the site, whose requests in flight and replicas are counted.
    port : int
        Port of the pods' statistics.
    conn_manager_prefix : str
        Name of the client listener's connection manager.
    interval_s : float
        A poll at least this often, also when nobody asks.
    fresh_s : float
        Who asks gets a count no older than this, while the gateways answer.
    resolve_s : float
        Seconds between two lookups of the name.

    Raises
    ------
    SpilloverError
        If a value is empty or outside its range.
    """

    site: str
    gateways: str
    listen: str
    services: tuple[str, ...] = ()
    port: int = STATS_PORT
    conn_manager_prefix: str = CLIENT_LISTENER
    interval_s: float = 1.0
    fresh_s: float = 0.1
    resolve_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("site", "gateways", "conn_manager_prefix"):
            if not getattr(self, name).strip():
                raise SpilloverError(f"{name} must not be empty, got {getattr(self, name)!r}")
        if not 0 < self.port < 65_536:
            raise SpilloverError(f"port must be 1 to 65535, got {self.port}")
        for name in ("interval_s", "fresh_s", "resolve_s"):
            if not getattr(self, name) > 0:
                raise SpilloverError(f"{name} must be above 0, got {getattr(self, name)}")


def read_gateway(client: httpx.Client, address: str, settings: CollectorSettings) -> GatewayStats:
    """Read what one gateway pod has received and what it waits for; SourceError if it cannot be told."""
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{settings.port}{STATS_PATH}"
    text = fetch_text(client, url, deadline_s=_READ_DEADLINE_S, max_bytes=_MAX_STATS_BYTES)
    return GatewayStats(
        parse_requests_total(text, settings.conn_manager_prefix),
        parse_in_flight(text, settings.services),
        parse_replicas(text, settings.services),
        parse_by_class(text, settings.conn_manager_prefix),
        parse_flows(text),
    )


def routes(site: str, poller: GatewayPoller, fresh_s: float, registry: CollectorRegistry) -> Routes:
    """Return what the collector answers, by path."""
    requests = Gauge("spillover_collector_requests", "Requests counted since the start", registry=registry)
    gateways = Gauge("spillover_collector_gateways", "Gateway pods read in the last complete poll", registry=registry)
    age = Gauge("spillover_collector_sample_age_seconds", "Age of the last complete poll", registry=registry)
    failures = Counter("spillover_collector_answers_without_sample", "GET /demand answered with 503", registry=registry)

    def demand() -> Answer:
        reading = poller.reading(fresh_s)
        if reading.count is None:
            failures.inc()
            return Answer.json(503, {"site": site, "error": reading.error})
        return Answer.json(200, _document(site, reading.count, reading.age_s))

    def ready() -> Answer:
        reading = poller.reading(1.0)
        return Answer.text(200, "ready") if reading.count is not None else Answer.text(503, reading.error)

    def metrics() -> Answer:
        reading = poller.reading(1.0)
        if reading.count is not None:
            requests.set(reading.count.requests_total)
            gateways.set(reading.count.gateways)
            age.set(reading.age_s)
        return Answer.metrics(registry)

    return {"/demand": demand, "/healthz": lambda: Answer.text(200, "ok"), "/readyz": ready, "/metrics": metrics}


def run_collector(
    settings: CollectorSettings,
    stop: threading.Event,
    *,
    started: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serve until ``stop`` is set.

    Parameters
    ----------
    settings
        See `CollectorSettings`.
    stop
        Set it from a signal handler or another thread.
    started
        Called with the port once it listens.
    """
    client = http_client(_READ_DEADLINE_S)
    resolver = Resolver(lambda: lookup(settings.gateways, settings.port), settings.resolve_s)
    poller = GatewayPoller(
        resolver.addresses,
        lambda address: read_gateway(client, address, settings),
        clock=time.monotonic,
        started_unix_s=time.time() - time.monotonic(),
    )
    endpoints = Endpoints(settings.listen, routes(settings.site, poller, settings.fresh_s, CollectorRegistry()))
    resolver.start()
    with endpoints:
        started(endpoints.port)
        while not stop.is_set():
            poller.reading(settings.interval_s)
            stop.wait(settings.interval_s / 2)
    resolver.stop()
    poller.close()


def _document(site: str, count: SiteCount, age_s: float) -> dict[str, object]:
    return {
        "site": site,
        "requests_total": count.requests_total,
        "requests_by_class": count.by_class,
        "sampled_at_s": count.sampled_at_s,
        "gateways": count.gateways,
        "in_flight": count.in_flight,
        "replicas": count.replicas,
        "flows": dict(count.flows),
        "age_s": age_s,
        "continuous_since_s": count.continuous_since_s,
    }
