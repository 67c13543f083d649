"""The controller inside the simulation: what it sees, the policy that it asks, and what it sets.

The policy is the daemon's own code; only the mesh and the sources are simulated here.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.model import MISSING_PERIODS, Link, Settings, Site, Snapshot
from spillover.simulator.state import NOT_BOUNDED, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.model import Decision
    from spillover.policies import Policy
    from spillover.simulator.scenario import Event, Scenario
    from spillover.simulator.state import Record, State

MOST_PEERS = 62
"""Peers of one origin that the kernel can tell apart."""

WINDOW_S, OVERFLOW_WINDOW_S = 1.0, 10.0
"""Over which demand is averaged: with plain weights the window is the reaction, else the proxies react."""

WORTH_WRITING = 0.05
"""Smallest relative change of a rate that is written to a proxy, as in the daemon: the rest is noise."""


@dataclass(frozen=True, slots=True)
class OriginRouting:
    """What one origin's gateway is told."""

    weights: Mapping[str, int]
    order: tuple[str, ...]
    shed_fraction: float
    bucket_rps: float


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """What one site's proxies enforce."""

    inflight_limit: int
    grants_rps: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Written:
    """An origin's weights as they came into force, for traces."""

    at_s: float
    origin: str
    weights: Mapping[str, int]


ROUNDING = 1e-9
"""A split that misses 1 by less than this sheds nothing."""


class Control:
    """The control loop of one simulation.

    Parameters
    ----------
    scenario : Scenario
        What is simulated.
    decide : callable
        The policy.
    mode : int
        ``WEIGHTS`` or ``OVERFLOW``.
    """

    def __init__(self, scenario: Scenario, decide: Policy, mode: int) -> None:
        self._scenario = scenario
        self._decide = decide
        self._mode = mode
        self._names = list(scenario.sites)
        self._index = {name: index for index, name in enumerate(self._names)}
        self._links = tuple(Link(link.origin, link.peer, link.rtt_ms, link.cost) for link in scenario.links)
        self._places = {
            name: {link.peer: place for place, link in enumerate(k for k in self._links if k.origin == name)}
            for name in self._names
        }
        self._window_s = scenario.control.window_s or (WINDOW_S if mode == WEIGHTS else OVERFLOW_WINDOW_S)
        self._rtt_ms = {(link.origin, link.peer): link.rtt_ms for link in self._links}
        settings = scenario.settings
        self._settings = Settings(
            max_utilisation=settings.max_utilisation,
            cost_weight_ms=settings.cost_weight_ms,
            period_s=scenario.control.period_s,
        )
        self._policy_state: Any = None
        self._samples: dict[str, tuple[float, Site]] = {}
        self._metrics = dict.fromkeys(self._names, "ok")
        self._demand_factor = dict.fromkeys(self._names, 1.0)
        self._origins: dict[str, OriginRouting] = {}
        self._sites: dict[str, SiteLimits] = {}
        self.running = True
        self.weight_writes = 0
        self.written: list[Written] = []

    def begin(self, state: State) -> None:
        """Decide once before any load is seen, with all that is known then: capacities and links."""
        self.apply(state, self.tick(state, 0.0), 0.0)
        self.weight_writes = 0

    def obey(self, event: Event) -> None:
        """Change what the controller can see, or whether it runs."""
        if event.controller is not None:
            self.running = event.controller == "ok"
        elif event.metrics is not None and event.site is not None:
            self._metrics[event.site] = event.metrics
            self._demand_factor[event.site] = 1.0 if event.demand_factor is None else event.demand_factor

    def tick(self, state: State, t_s: float) -> Decision:
        """Observe all sites at ``t_s`` and ask the policy."""
        sites = {name: self._observe(state, name, t_s) for name in self._names}
        snapshot = Snapshot(sites=sites, links=self._links, settings=self._settings)
        decision, self._policy_state = self._decide(snapshot, self._policy_state, total=self._scenario.control.total)
        return decision

    def _observe(self, state: State, name: str, t_s: float) -> Site:
        """Sample a site, or return its last sample with its age."""
        condition = self._metrics[name]
        if condition in ("ok", "lying") or name not in self._samples:
            self._samples[name] = (t_s, self._sample(state, name, t_s))
            return self._samples[name][1]
        sampled_s, sample = self._samples[name]
        age_s = t_s - sampled_s
        if condition == "missing":
            age_s = max(age_s, (MISSING_PERIODS + 1) * self._settings.period_s)
        return replace(sample, age_s=age_s)

    def _sample(self, state: State, name: str, t_s: float) -> Site:
        index = self._index[name]
        simulated = self._scenario.sites[name]
        seen = state.sites[index]
        factor = float(seen["factor"])
        return Site(
            name=name,
            capacity_rps=simulated.told_capacity_rps or simulated.capacity_rps,
            demand_rps=self._demand_rps(state, index, t_s) * self._demand_factor[name],
            servers=simulated.servers,
            service_ms=1000.0 / (float(seen["server_rps"]) * (factor if factor > 0 else 1.0)),
            queue=max(0.0, float(seen["present"] - simulated.servers)),
            healthy=factor > 0,
        )

    def _demand_rps(self, state: State, index: int, t_s: float) -> float:
        """Rate over the window before ``t_s`` (over what there is of it): of arrivals, or of those kept at home."""
        window_s = min(self._window_s, t_s)
        if window_s <= 0:
            return 0.0
        return _count(state, index, t_s - window_s, kept=self._scenario.control.demand_from == "kept") / window_s

    def apply(self, state: State, decision: Decision, t_s: float) -> None:
        """Put a decision into force and count what had to be written for it."""
        for name in self._names:
            self._write_origin(state, name, self._origin_routing(name, decision), t_s)
            if self._mode != WEIGHTS:
                self._write_site(state, name, self._site_limits(name, decision), t_s)

    def _origin_routing(self, name: str, decision: Decision) -> OriginRouting:
        weights = dict(decision.weights[name])
        demand = math.fsum(decision.split[name].values())
        order: tuple[str, ...] = tuple(peer for peer in weights if peer != name)
        bucket = math.inf
        control = self._scenario.control
        if self._mode != WEIGHTS:
            order = self._order(name, decision)[:MOST_PEERS]
            weights = dict(decision.spill_weights.get(name) or weights)
            if self._trigger(name, decision) != "inflight":
                told = control.bucket_rps.get(name, decision.bucket_rps.get(name))
                bucket = math.inf if told is None else float(told)
        return OriginRouting(weights, order, max(0.0, 1.0 - demand), bucket)

    def _trigger(self, name: str, decision: Decision) -> str:
        """Return what makes requests leave a site: the scenario's word, else the policy's."""
        return self._scenario.control.trigger or decision.trigger.get(name, "both")

    def _order(self, name: str, decision: Decision) -> tuple[str, ...]:
        """Return the peers in the order to try: the policy's own, else the nearest first; none whose grant is 0."""
        linked = sorted((rtt, peer) for (origin, peer), rtt in self._rtt_ms.items() if origin == name)
        order = decision.peer_order.get(name, tuple(peer for _, peer in linked))
        if not self._scenario.control.grants:
            return tuple(order)
        return tuple(peer for peer in order if decision.grants_rps.get(peer, {}).get(name, math.inf) > 0)

    def _site_limits(self, name: str, decision: Decision) -> SiteLimits:
        control = self._scenario.control
        limit = NOT_BOUNDED
        if self._trigger(name, decision) != "bucket":
            limit = control.inflight_limit.get(name, decision.inflight_limit.get(name, NOT_BOUNDED))
        grants = dict(decision.grants_rps.get(name, {})) if control.grants else {}
        return SiteLimits(int(limit), grants)

    def _write_origin(self, state: State, name: str, told: OriginRouting, t_s: float) -> None:
        before = self._origins.get(name)
        if before is not None and not _differs(before.bucket_rps, told.bucket_rps):
            told = replace(told, bucket_rps=before.bucket_rps)
        if told == before:
            return
        self._origins[name] = told
        if before is None or told.weights != before.weights:
            self.written.append(Written(t_s, name, told.weights))
        if self._mode != WEIGHTS or before is None or told.weights != before.weights:
            self.weight_writes += 1
        i = self._index[name]
        home, links = state.sites[i], state.links[i]
        places = self._places[name]
        home["home_weight"] = told.weights.get(name, 0)
        home["turns"] = len(told.order)
        links["weight"] = 0.0
        for turn, peer in enumerate(told.order):
            links["turn"][turn] = places[peer]
            links["weight"][places[peer]] = told.weights.get(peer, 0)
        home["shed_fraction"] = told.shed_fraction if told.shed_fraction > ROUNDING else 0.0
        _change_rate(home, "bucket", told.bucket_rps, t_s)

    def _write_site(self, state: State, name: str, told: SiteLimits, t_s: float) -> None:
        before = self._sites.get(name)
        if before is not None and before.grants_rps.keys() == told.grants_rps.keys():
            near = not any(_differs(before.grants_rps[origin], rate) for origin, rate in told.grants_rps.items())
            told = replace(told, grants_rps=before.grants_rps) if near else told
        if told == before:
            return
        self._sites[name] = told
        self.weight_writes += before is not None
        state.sites["inflight_limit"][self._index[name]] = told.inflight_limit
        for origin, i in self._index.items():
            if name in self._places[origin]:
                link = state.links[i, self._places[origin][name]]
                _change_rate(link, "grant", told.grants_rps.get(origin, math.inf), t_s)


def _differs(before: float, after: float) -> bool:
    """Whether a rate has changed by enough to be written."""
    if before == after:
        return False
    if math.isinf(before) or math.isinf(after) or before == 0 or after == 0:
        return True
    return abs(after - before) >= WORTH_WRITING * before


def _change_rate(record: Record, bucket: str, rate_rps: float, t_s: float) -> None:
    """Change a bucket's rate after what it earned at the old one; the kernel caps the level at the next request."""
    if not math.isinf(record[f"{bucket}_rps"]):
        record[f"{bucket}_level"] += record[f"{bucket}_rps"] * (t_s - record[f"{bucket}_at"])
    record[f"{bucket}_at"] = t_s
    record[f"{bucket}_rps"] = rate_rps


def _count(state: State, index: int, since_s: float, *, kept: bool) -> int:
    """Count an origin's requests since a time (of these, when ``kept``, those sent to no peer)."""
    tally = state.tally[0]
    count = 0
    for first, end in ((0, int(tally["next_open"])), (int(tally["open"]), int(tally["created"]))):
        start = bisect.bisect_left(state.requests["arrival_s"], since_s, first, end)
        recent = state.requests[start:end]
        mine = recent["origin"] == index
        if kept:
            mine = mine & (recent["destination"] == index)
        count += int(np.count_nonzero(mine))
    return count
