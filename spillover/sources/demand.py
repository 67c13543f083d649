"""From a site's growing counter to its demand: a rate over a window on the samples' own time.

Pure: the caller says what time it is. Two clocks appear and are never mixed: ``sampled_at_s`` is the collector's, and
only differences of it are used; ``now_s`` is the reader's monotonic clock, and only decides what is stale. A step of
either machine's wall clock changes nothing.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spillover.model import SpilloverError
from spillover.sources.fetch import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STALE_INTERVALS = 3
"""A sample older than this many sampling intervals is missing."""


@dataclass(frozen=True, slots=True)
class CounterSample:
    """What a site's collector said at one moment.

    Parameters
    ----------
    requests_total : float
        Requests that entered at this site, a counter that only grows.
    sampled_at_s : float
        When the gateways were read, on the collector's own clock.
    continuous_since_s : float, optional
        Since when the counter misses nothing, on the same clock: across this moment no rate can be told.
    age_s : float
        Age of the sample when it was handed out.
    in_flight : float, optional
        Requests at the site's own application; None when nobody counts them.
    gateways : int
        Gateway pods of the site.
    replicas : int, optional
        Replicas of the application; None when nobody counts them.
    by_class : mapping of str to float
        Requests by class, counters that only grow; empty when nobody tells classes apart.
    flows : mapping of str to float
        Requests by where the gateways sent them, and those of guests, as in `spillover.sources.envoy.parse_flows`.

    Raises
    ------
    SourceError
        If a number is not finite or is negative.
    """

    requests_total: float
    sampled_at_s: float
    continuous_since_s: float | None = None
    age_s: float = 0.0
    in_flight: float | None = None
    gateways: int = 1
    replicas: int | None = None
    by_class: Mapping[str, float] = field(default_factory=dict)
    flows: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        single = ("requests_total", "sampled_at_s", "continuous_since_s", "age_s", "in_flight")
        numbers = {name: getattr(self, name) for name in single}
        for field_name in ("by_class", "flows"):
            numbers |= {f"{field_name}.{name}": value for name, value in getattr(self, field_name).items()}
        for name, value in numbers.items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise SourceError(f"{name} must be a finite number of 0 or more, got {value!r}")


@dataclass(frozen=True, slots=True)
class Demand:
    """Demand of a site as far as it is known.

    Parameters
    ----------
    demand_rps : float or None
        Requests per second over the window; None is missing.
    last_rps : float or None
        The last demand that was known, for those who hold.
    age_s : float or None
        Age of the newest sample; None before the first.
    reason : str
        Why the demand is missing; empty when it is not.
    shares : mapping of str to float
        Share of each class in the last demand that was known; empty when nothing was told apart.
    """

    demand_rps: float | None
    last_rps: float | None
    age_s: float | None
    reason: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)


def by_class(rate_rps: float, shares: Mapping[str, float], classes: Sequence[str]) -> dict[str, float]:
    """Divide a rate among classes: the last one has what belongs to none, and all together make up the rate.

    Parameters
    ----------
    rate_rps
        Requests per second, 0 or more.
    shares
        By class, summing to at most 1; of a class that is not asked for, they are the last one's.
    classes
        Names, at least one.
    """
    *others, last = classes
    rates = {name: rate_rps * shares.get(name, 0.0) for name in others}
    return rates | {last: max(0.0, rate_rps - math.fsum(rates.values()))}


class DemandWindow:
    """Counter samples of one site over the last window.

    Demand = (C(t1) - C(t0)) / (t1 - t0), with t1 the newest sample and t0 the sample nearest to t1 - window_s.

    Parameters
    ----------
    window_s
        Length in seconds of the window that the demand is averaged over.
    interval_s
        Seconds between two samples, at most the window.
    """

    def __init__(self, window_s: float, interval_s: float) -> None:
        if not 0 < interval_s <= window_s:
            raise SpilloverError(f"interval_s must be above 0 and at most window_s {window_s:g}, got {interval_s:g}")
        self._window_s = window_s
        self._interval_s = interval_s
        self._samples: deque[CounterSample] = deque()
        self._newest_at_s = 0.0
        self._last_rps: float | None = None
        self._shares: Mapping[str, float] = {}

    def add(self, sample: CounterSample, now_s: float) -> None:
        """Take a sample that arrived at ``now_s`` on the reader's monotonic clock.

        A counter or a clock that went back, or one that is continuous only since later than the samples in hand, is
        another counter: what came before says nothing about its rate and is forgotten.
        """
        newest = self._samples[-1] if self._samples else None
        if newest is not None and sample.sampled_at_s == newest.sampled_at_s:
            return  # the same sample handed out again: it stays as old as it is
        if newest is not None and not continues(newest, sample):
            self._samples.clear()
        self._samples.append(sample)
        self._newest_at_s = now_s - sample.age_s
        self._forget()

    def demand(self, now_s: float) -> Demand:
        """Return the demand as known at ``now_s``; it never raises."""
        if not self._samples:
            return Demand(None, self._last_rps, None, "no sample has arrived yet")
        age_s = max(0.0, now_s - self._newest_at_s)
        if age_s > STALE_INTERVALS * self._interval_s:
            limit_s = STALE_INTERVALS * self._interval_s
            return self._missing(age_s, f"the newest sample is {age_s:.1f} s old, above {limit_s:g} s")
        ends = self._ends()
        if ends is None:
            return self._missing(age_s, "only one sample since the counter began")
        first, last = ends
        rate_rps = (last.requests_total - first.requests_total) / (last.sampled_at_s - first.sampled_at_s)
        self._last_rps, self._shares = rate_rps, _shares(first.by_class, last.by_class)
        return Demand(rate_rps, rate_rps, age_s, shares=self._shares)

    def _missing(self, age_s: float, reason: str) -> Demand:
        return Demand(None, self._last_rps, age_s, reason, self._shares)

    def _ends(self) -> tuple[CounterSample, CounterSample] | None:
        *earlier, last = self._samples
        target_s = last.sampled_at_s - self._window_s
        first = min(earlier, key=lambda sample: abs(sample.sampled_at_s - target_s), default=last)
        span_s = last.sampled_at_s - first.sampled_at_s
        # Two reads in quick succession hold too few arrivals to tell a rate from.
        if span_s < self._interval_s / 2:
            return None
        return first, last

    def _forget(self) -> None:
        """Drop what no later window can begin at, but always keep one sample beyond it."""
        starts_s = self._samples[-1].sampled_at_s - self._window_s
        while len(self._samples) > 2 and self._samples[1].sampled_at_s <= starts_s:
            self._samples.popleft()


def continues(before: CounterSample, after: CounterSample) -> bool:
    """Return whether the counter misses nothing between two samples."""
    if after.sampled_at_s < before.sampled_at_s or after.requests_total < before.requests_total:
        return False
    return after.continuous_since_s is None or after.continuous_since_s <= before.sampled_at_s


def _shares(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    grown = {name: max(0.0, value - before.get(name, 0.0)) for name, value in after.items()}
    whole = math.fsum(grown.values())
    return {name: value / whole for name, value in grown.items()} if whole > 0 else {}
