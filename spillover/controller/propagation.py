"""Whether the weights that were told are in force: the requests that went each way, held against them. Pure.

Envoy draws a destination for each request by the weights, so what a destination gets is a sum of independent draws, and
Bernstein's inequality bounds how far chance takes it from its mean::

    P(|X - E X| >= t) <= 2 exp(-t^2 / (2 (Var X + t/3))) = CHANCE
    for t = L/3 + sqrt(L^2/9 + 2 L Var X) and L = ln(2/CHANCE)

Weights differ from what was told when, over the last `WINDOW_S` with at least `LEAST_REQUESTS`, a destination got fewer
or more than that and `TOLERANCE` of the requests allow, in `PERIODS` periods in a row. After a change both the new and
the old weights are allowed for `SETTLE_S`. Where what came in and what went out differ by more than `TOLERANCE`
(another application behind the same door, a home without a replica) nothing is said, and the last word stands.

What is told in overflow mode are bounds, which cannot be held against counts in this way (docs/overflow.md).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.sources.demand import continues
from spillover.sources.envoy import GUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spillover.sources.demand import CounterSample

WINDOW_S = 30.0
LEAST_REQUESTS = 100
TOLERANCE = 0.05
CHANCE = 1e-9
PERIODS = 3
SETTLE_S = 5.0
"""From a write to the weights in force, at the slowest: istiod's push, and Envoy's update."""

_FEW = 10.0
"""Requests that may be on their way through the gateway when it is read."""


@dataclass(frozen=True, slots=True)
class Period:
    """What happened between two samples of one origin.

    Parameters
    ----------
    entered : float
        Requests of clients.
    left : float
        Requests that were sent on, less those of guests.
    sent : mapping of str to float
        Requests of clients by the site that they were sent to.
    low, high : mapping of str to float
        Least and largest share of each site among the weights that may have been in force.
    """

    entered: float
    left: float
    sent: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]


def between(
    before: CounterSample,
    after: CounterSample,
    destinations: Mapping[str, str],
    home: str,
    told: Sequence[Mapping[str, int]],
) -> Period | None:
    """Return what happened between two samples; None where a destination is not counted, or an interval was lost.

    Parameters
    ----------
    before, after
        Of the origin.
    destinations
        Key in the origin's VirtualService by site.
    home
        The origin.
    told
        Weights by site that may have been in force, at least one.
    """
    keys = {*destinations.values(), GUESTS}
    if not continues(before, after) or not keys <= before.flows.keys() & after.flows.keys():
        return None
    grown = {key: after.flows[key] - before.flows[key] for key in keys}
    if min(grown.values()) < 0:
        return None
    entered = after.requests_total - before.requests_total
    sent = {site: grown[key] for site, key in destinations.items() if site != home}
    shares = [{site: weights.get(site, 0) / sum(weights.values()) for site in destinations} for weights in told]
    return Period(
        entered,
        sum(sent.values()) + grown[destinations[home]] - grown[GUESTS],
        # Guests are served at home too, so home's own part is what the others did not get.
        sent | {home: entered - sum(sent.values())},
        {site: min(share[site] for share in shares) for site in destinations},
        {site: max(share[site] for share in shares) for site in destinations},
    )


def judge(periods: Sequence[Period]) -> str | None:
    """Return which site got what it was not told to get; empty where all is as told, None where nobody can say."""
    entered = sum(period.entered for period in periods)
    left = sum(period.left for period in periods)
    if entered < LEAST_REQUESTS or abs(left - entered) > TOLERANCE * entered + _FEW:
        return None
    for site in sorted(periods[0].low):
        seen = sum(period.sent[site] for period in periods)
        least = _mean([(period.entered, period.low[site]) for period in periods], -1.0, entered)
        most = _mean([(period.entered, period.high[site]) for period in periods], 1.0, entered)
        if not least <= seen <= most:
            bound = f"at least {max(0.0, least):.0f}" if seen < least else f"at most {most:.0f}"
            return f"{site} got {seen:.0f} of {entered:.0f} requests, by the weights that are stored {bound}"
    return ""


def _mean(draws: Sequence[tuple[float, float]], side: float, entered: float) -> float:
    """Return how many requests a site should have got, moved to a side by what chance and tolerance allow."""
    mean = sum(requests * share for requests, share in draws)
    variance = sum(requests * share * (1.0 - share) for requests, share in draws)
    log = math.log(2.0 / CHANCE)
    return mean + side * (log / 3.0 + math.sqrt(log**2 / 9.0 + 2.0 * log * variance) + TOLERANCE * entered)


class Propagation:
    """What is known of one origin.

    Parameters
    ----------
    home
        The origin.
    destinations
        Key in its VirtualService by site.
    """

    def __init__(self, home: str, destinations: Mapping[str, str]) -> None:
        self._home = home
        self._destinations = destinations
        self.forget()

    def forget(self) -> None:
        """Know nothing: weights do not lead this site's requests, or somebody else tells them."""
        self.known: str | None = None
        self._periods: deque[tuple[float, Period]] = deque()
        self._told: deque[tuple[float, Mapping[str, int]]] = deque()
        self._last: tuple[float, CounterSample] | None = None
        self._deviating = 0

    def observe(self, sample: CounterSample, told: Mapping[str, int], now_s: float) -> None:
        """Take the newest sample and the weights that are stored now; `known` says what follows.

        ``known`` is empty where the weights are in force, a sentence where they are not, None before either is seen.
        """
        if not self._told or self._told[-1][1] != told:
            self._told.append((now_s, told))
        if self._last is not None and sample.sampled_at_s == self._last[1].sampled_at_s:
            return
        before, self._last = self._last, (now_s, sample)
        if before is None:
            return
        allowed = self._allowed(before[0])
        period = between(before[1], sample, self._destinations, self._home, allowed)
        if period is None:
            self._periods.clear()
            return
        self._periods.append((now_s, period))
        # A period may be a minute: there is always the last one.
        while len(self._periods) > 1 and now_s - self._periods[0][0] > WINDOW_S:
            self._periods.popleft()
        self._conclude(judge([period for _, period in self._periods]))

    def _allowed(self, since_s: float) -> list[Mapping[str, int]]:
        """Return the weights that may have been in force at some time since then."""
        while len(self._told) > 1 and self._told[1][0] <= since_s - SETTLE_S:
            self._told.popleft()
        return [told for _, told in self._told]

    def _conclude(self, found: str | None) -> None:
        self._deviating = self._deviating + 1 if found else 0
        if found == "":
            self.known = ""
        elif self._deviating >= PERIODS and not self.known:  # the first words stay: a status is not written each second
            self.known = found
