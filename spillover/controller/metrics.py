"""The controller's own metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.sources.demand import Demand

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_NAN = float("nan")

OVERFLOW_SUPPORTED, PROPAGATED = "overflow_supported", "propagated"
"""What is known of a site beside its demand."""


class ControllerMetrics:
    """What /metrics shows, in a registry of its own.

    Parameters
    ----------
    registry
        Where to register.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._leading = Gauge("spillover_leading", "1 while this controller leads", registry=registry)
        self._epoch = Gauge(
            "spillover_epoch", "Epoch in which it leads or last led; 0 without leadership", registry=registry
        )
        self._demand = Gauge(
            "spillover_demand_rps", "Demand before the split; NaN is missing", ["site"], registry=registry
        )
        self._age = Gauge("spillover_sample_age_seconds", "Age of the newest sample", ["site"], registry=registry)
        self._weight = Gauge("spillover_weight", "Weight that is wanted", ["origin", "destination"], registry=registry)
        self._class_demand = Gauge(
            "spillover_demand_by_class_rps", "Demand of a class; NaN is missing", ["site", "class"], registry=registry
        )
        self._class_shed = Gauge(
            "spillover_shed_by_class_rps",
            "What the decision refuses of a class",
            ["origin", "class"],
            registry=registry,
        )
        self._judged = {
            OVERFLOW_SUPPORTED: Gauge(
                "spillover_overflow_supported",
                "1 if the site has the objects of overflow mode, 0 if weights are written instead; NaN is unknown",
                ["site"],
                registry=registry,
            ),
            PROPAGATED: Gauge(
                "spillover_propagated",
                "1 if the requests go as the stored weights say, 0 if they do not; NaN is unknown",
                ["site"],
                registry=registry,
            ),
        }
        self._gap = Gauge(
            "spillover_gap_ratio",
            "Predicted mean latency of the weights above that of the best split, relative; NaN is unknown",
            registry=registry,
        )
        self._gap.set(_NAN)
        self._writes = Counter("spillover_writes", "Weights written", ["origin"], registry=registry)
        self._errors = Counter("spillover_errors", "Failed reads and writes", ["site", "kind"], registry=registry)
        self._renewals = Counter(
            "spillover_token_renewals", "Tokens for a site that were traded for new ones", ["site"], registry=registry
        )
        self._expires = Gauge(
            "spillover_token_expires_seconds",
            "Unix time at which the token in use for a site expires",
            ["site"],
            registry=registry,
        )
        self._stored = Gauge(
            "spillover_stored_token_expires_seconds",
            "Unix time at which the stored token for a site expires, with which a controller starts; NaN is never",
            ["site"],
            registry=registry,
        )
        self._tick = Histogram(
            "spillover_tick_duration_seconds", "From demand to written weights", registry=registry, buckets=_BUCKETS_S
        )
        self._read = Histogram(
            "spillover_sample_duration_seconds", "Reading every source", registry=registry, buckets=_BUCKETS_S
        )
        self._write = Histogram("spillover_write_duration_seconds", "One write", registry=registry, buckets=_BUCKETS_S)

    def led(self, leads: bool) -> None:
        """Show whether this controller leads."""
        self._leading.set(leads)

    def led_in(self, epoch: int) -> None:
        """Show the epoch in which this controller leads or last led."""
        self._epoch.set(epoch)

    def observed(self, site: str, demand: Demand) -> None:
        """Show the demand of a site."""
        self._demand.labels(site).set(_NAN if demand.demand_rps is None else demand.demand_rps)
        self._age.labels(site).set(_NAN if demand.age_s is None else demand.age_s)

    def told_apart(self, sites: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> None:
        """Show what arrives and what is shed at each site, by class."""
        for site, classes in sites.items():
            for name, rates in classes.items():
                for gauge, kind in ((self._class_demand, "demand_rps"), (self._class_shed, "shed_rps")):
                    rate_rps = rates[kind]
                    gauge.labels(site, name).set(_NAN if rate_rps is None else rate_rps)

    def wanted(self, origin: str, weights: Mapping[str, int]) -> None:
        """Show the weights that an origin should have."""
        for destination, weight in weights.items():
            self._weight.labels(origin, destination).set(weight)

    def judged(self, condition: str, site: str, why: str | None) -> None:
        """Show whether a condition holds at a site: empty is yes, a sentence no, None unknown."""
        self._judged[condition].labels(site).set(_NAN if why is None else not why)

    def compared(self, gap: float | None) -> None:
        """Show how far the weights are from the best split."""
        self._gap.set(_NAN if gap is None else gap)

    def wrote(self, origin: str, write_ms: float) -> None:
        """Count a write."""
        self._writes.labels(origin).inc()
        self._write.observe(write_ms / 1000.0)

    def failed(self, site: str, kind: str) -> None:
        """Count a failure; ``kind`` is that of the site's source, ``api``, ``token`` or, without a site, ``lease``."""
        self._errors.labels(site, kind).inc()

    def renewed(self, site: str, expires_s: float, stored_until_s: float | None) -> None:
        """Note a new token, and until when it and the stored one are good, in Unix seconds."""
        self._renewals.labels(site).inc()
        self._expires.labels(site).set(expires_s)
        self._stored.labels(site).set(_NAN if stored_until_s is None else stored_until_s)

    def ticked(self, duration_s: float) -> None:
        """Note how long a tick took."""
        self._tick.observe(duration_s)

    def sampled(self, duration_s: float) -> None:
        """Note how long reading all sources took."""
        self._read.observe(duration_s)
