"""From the counters of gateway pods that come and go to one counter of the site that only grows. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SiteCount:
    """The site's counter at one moment.

    Parameters
    ----------
    requests_total : float
        Requests counted since the collector started.
    sampled_at_s : float
        When the gateways were read.
    continuous_since_s : float
        Since when nothing is missing from the counter.
    gateways : int
        Gateway pods that were read.
    in_flight : float, optional
        Requests at the site's own application, of clients and of guests; None when the gateways do not say.
    replicas : int, optional
        Replicas of the application that the gateways send requests to; None when they do not say.
    by_class : mapping of str to float
        Requests of each class since the collector started; empty when the gateways do not tell classes apart.
    flows : mapping of str to float
        Requests since the collector started, by where the gateways sent them, and those of guests.
    """

    requests_total: float
    sampled_at_s: float
    continuous_since_s: float
    gateways: int
    in_flight: float | None = None
    replicas: int | None = None
    by_class: Mapping[str, float] = field(default_factory=dict)
    flows: Mapping[str, float] = field(default_factory=dict)


class GatewayCounter:
    """Sums the increments of each pod.

    A pod that is new, or that was away, brings a counter of unknown past: only what it counts from now on is added. A
    counter that went back began again: what was lost is unknown, so nothing is added and the site's counter says that
    it is continuous only from now on. So an increment is never negative and never larger than what one pod counted
    between two reads.
    """

    def __init__(self) -> None:
        self._requests_total = 0.0
        self._continuous_since_s = 0.0
        self._last: dict[str, float] = {}

    def add(self, readings: Mapping[str, float], at_s: float) -> SiteCount:
        """Take one complete reading of all pods.

        Parameters
        ----------
        readings
            The counter of each pod, by address; at least one.
        at_s
            When they were read; never before the last time.
        """
        known = self._last.keys() & readings.keys()
        resets = any(readings[pod] < self._last[pod] for pod in known)
        self._requests_total += sum(max(0.0, readings[pod] - self._last[pod]) for pod in known)
        # When no pod is left of those that were read last (a rollout of a single gateway), the interval is lost too.
        if resets or not known:
            self._continuous_since_s = at_s
        self._last = dict(readings)
        return SiteCount(self._requests_total, at_s, self._continuous_since_s, len(readings))


class NamedCounter:
    """Sums the increments of each pod by name, of classes or of destinations, as `GatewayCounter` does the total's.

    A name that a known pod did not give before had no request there yet.
    """

    def __init__(self) -> None:
        self._total: dict[str, float] = defaultdict(float)
        self._last: dict[str, Mapping[str, float]] = {}

    def add(self, readings: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """Take one complete reading of all pods, by address and name; return the sum by name."""
        for pod, counted in readings.items():
            before = self._last.get(pod, counted)
            for name, value in counted.items():
                self._total[name] += max(0.0, value - before.get(name, 0.0))
        self._last = dict(readings)
        return dict(self._total)
