"""The loop: sample, decide, write. Clocks, readers, clusters and threads are handed in.

Every write leaves a valid VirtualService, because one patch carries all weights of a route that differ and a test of
the version that it was made from. Nothing is remembered outside the process: after a restart the first decision is
compared with what is in force, and what does not differ is not written.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from spillover import policies
from spillover.controller.conditions import Conditions
from spillover.controller.propagation import Propagation
from spillover.controller.snapshot import SiteView, build_snapshot
from spillover.controller.status import by_site_and_class, status_document
from spillover.controller.writer import Report
from spillover.model import SpilloverError
from spillover.policies.distance import Distance, distance
from spillover.sources.demand import CounterSample, DemandWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from spillover.controller.config import ControllerConfig
    from spillover.controller.edges import Edges
    from spillover.controller.lanes import Runner
    from spillover.controller.writer import Writer
    from spillover.model import Decision, Snapshot

_DEAD_AFTER_READS = 2
"""Failed reads in a row before a site whose API server is silent too is held to be dead: one may be bad luck."""

_ALIVE_PERIODS = 3


class _SiteState:
    """What the controller remembers of one site."""

    def __init__(self, window: DemandWindow, propagation: Propagation) -> None:
        self.window = window
        self.propagation = propagation
        self.sample: CounterSample | None = None
        self.told: Mapping[str, int] | None = None
        self.was_read = False
        self.failed_reads = 0
        self.in_flight: float | None = None
        self.gateways = 1
        self.replicas: int | None = None
        self.wanted: Any = None
        self.weights: Mapping[str, int] | None = None


class Controller:
    """The state of the loop and its steps.

    Parameters
    ----------
    config
        What to do.
    read_demand
        Reads the counter of a site, by site; may raise SourceError.
    reads
        Runs one read a site at once.
    writer
        Brings to the sites what the mode wants.
    edges
        Clocks, log, metrics, chance.
    leads
        Whether this controller leads at the moment of asking: one that does not samples and decides, so that it can
        take over at once, and writes nothing.
    """

    def __init__(
        self,
        config: ControllerConfig,
        read_demand: Mapping[str, Callable[[], CounterSample]],
        reads: Runner,
        writer: Writer,
        edges: Edges,
        *,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._config = config
        self._asked_leads = leads
        self._led = False
        self._took_over = False
        self._read_demand = read_demand
        self._reads = reads
        self._writer = writer
        self._mode = writer.mode
        self._edges = edges
        self._clock = edges.clock
        self._decide = policies.get(config.policy)
        self._policy_state: dict[str, Any] | None = None
        self._started_s = self._alive_s = edges.clock()
        self._ticked = False
        self._saturated: bool | None = None
        self._snapshot: Snapshot | None = None
        self._shed: Mapping[str, Mapping[str, float]] = {}
        self._status: dict[str, Any] | None = None
        self._conditions = Conditions(edges)
        self._sites = {
            name: _SiteState(
                DemandWindow(config.site_window_s(name), config.site_interval_s(name)),
                Propagation(name, site.destinations),
            )
            for name, site in config.sites.items()
        }

    @property
    def alive(self) -> bool:
        """Whether the loop has moved within the last three periods."""
        return self._clock() - self._alive_s <= _ALIVE_PERIODS * self._config.period_s

    @property
    def not_ready(self) -> str:
        """Why the controller is not ready; empty when it is."""
        unread = [name for name, site in self._sites.items() if not site.was_read]
        if unread:
            return f"not read yet: {', '.join(unread)}"
        return "" if self._ticked else "no decision yet"

    @property
    def status(self) -> dict[str, Any] | None:
        """What was known and wanted at the last decision, as `spillover.controller.status` has it; None before it."""
        return self._status

    def run(self, stop: Event) -> None:
        """Sample and decide on time until ``stop`` is set; a step under way is finished."""
        next_sample_s = next_tick_s = self._clock()
        interval_s, period_s = self._config.interval_s, self._config.period_s
        while not stop.is_set():
            self.sample()
            if self._clock() >= next_tick_s - interval_s / 2:
                self.tick()
                next_tick_s = _next(next_tick_s, period_s, self._clock())
            else:
                self.retry()
            next_sample_s = _next(next_sample_s, interval_s, self._clock())
            stop.wait(max(0.0, next_sample_s - self._clock()))

    def sample(self) -> None:
        """Read every site's counter once, all at the same time."""
        self._leads()  # noticed between two decisions too: a period may be a minute
        began_s = self._alive_s = self._clock()
        deadline_s = self._config.read_deadline_s
        tasks = {name: partial(self._stamped, read) for name, read in self._read_demand.items()}
        came: set[str] = set()
        for outcome in self._reads.run(tasks, deadline_s):
            came.add(outcome.name)
            if outcome.value is None:
                self._missed(outcome.name, str(outcome.error))
            else:
                self._took(outcome.name, *outcome.value)
        for name in self._sites.keys() - came:
            self._missed(name, f"no answer within {deadline_s:g} s")
        self._edges.metrics.sampled(self._clock() - began_s)

    def tick(self) -> None:
        """Decide from what is known now and write what differs."""
        began_s = self._alive_s = self._clock()
        views = {name: self._view(name, began_s) for name in self._sites}
        reasons = self._decide_weights(views, began_s)
        leads = self._leads()
        report = self._apply(self._wanted(), self._config.write_deadline_s) if leads else Report()
        for name, problem in report.problems.items():
            reasons[name] = "; ".join(part for part in (reasons[name], problem) if part)
        self._judge(report, began_s, leads=leads)
        self._ticked = True
        self._edges.metrics.ticked(self._clock() - began_s)
        found = self._compare(views)
        gap = None if found is None else found.gap
        self._edges.metrics.compared(gap)
        now_s = self._edges.wall_clock()
        weights = {name: site.weights for name, site in self._sites.items()}
        classes = by_site_and_class(self._config, views, self._shed)
        known = {name: self._conditions.of(name) for name in self._sites}
        self._status = status_document(
            self._config,
            views,
            weights,
            reasons,
            found,
            classes=classes,
            conditions=known,
            time_s=now_s,
            leads=leads,
        )
        fields: dict[str, Any] = {
            "time": now_s,
            "leading": leads,
            "gap": gap,
            "in_flight": {name: view.in_flight for name, view in views.items()},
            "demand_rpm": {name: _rpm(view.demand.demand_rps) for name, view in views.items()},
            "weights": {name: dict(wanted) for name, wanted in weights.items() if wanted is not None},
            "written": sorted(report.written),
            "saturated": self._saturated,
            "problems": dict(report.problems),
            "reasons": reasons,
        }
        if numbers := self._mode.described(self._wanted()):
            fields["numbers"] = numbers
        if classes:
            fields["classes"] = classes
            self._edges.metrics.told_apart(classes)
        fields |= {condition: dict(sites) for condition, sites in self._conditions.known.items() if sites}
        self._edges.log("tick", fields)

    def _judge(self, report: Report, now_s: float, *, leads: bool) -> None:
        """Say which sites can overflow, and at which ones what is stored is in force."""
        propagated = {}
        for name, site in self._sites.items():
            if not leads or name not in self._mode.sites or not self._mode.weighs(name):
                site.propagation.forget()
                site.told = None
                continue
            if name not in report.problems:
                site.told = site.weights
            if site.told is not None and site.sample is not None:
                site.propagation.observe(site.sample, site.told, now_s)
            if site.propagation.known is not None:
                propagated[name] = site.propagation.known
        supported = self._mode.overflow_supported() if leads else {}
        self._conditions.update(self._sites, overflow_supported=supported, propagated=propagated)

    def retry(self) -> None:
        """Try failed writes again between two decisions, and write all after taking over: a period may be a minute."""
        due = self._sites.keys() if self._took_over else self._writer.failing
        if due and self._leads():
            wanted = {name: numbers for name, numbers in self._wanted().items() if name in due}
            self._apply(wanted, self._config.read_deadline_s)

    def _leads(self) -> bool:
        leads = self._asked_leads()
        if leads and not self._led:
            self._took_over = True
            self._mode.forget()
        self._led = leads
        self._edges.metrics.led(leads)
        return leads

    def _apply(self, wanted: Mapping[str, Any], deadline_s: float) -> Report:
        self._took_over = False
        return self._writer.apply(wanted, deadline_s)

    def _stamped(self, read: Callable[[], CounterSample]) -> tuple[CounterSample, float]:
        # Stamped where it arrives: a late sample is taken up a round later and must not look younger than it is.
        return read(), self._clock()

    def _took(self, name: str, sample: CounterSample, arrived_s: float) -> None:
        site = self._sites[name]
        if site.failed_reads:
            self._edges.log("sample_back", {"time": self._edges.wall_clock(), "site": name})
        site.window.add(sample, arrived_s)
        site.sample = sample
        site.was_read, site.failed_reads = True, 0
        site.in_flight, site.gateways, site.replicas = sample.in_flight, sample.gateways, sample.replicas

    def _missed(self, name: str, why: str) -> None:
        site = self._sites[name]
        if not site.failed_reads:  # the first of a row only: a site that is down for hours fills no log
            self._edges.log("sample_missing", {"time": self._edges.wall_clock(), "site": name, "error": why})
        site.failed_reads += 1
        self._edges.metrics.failed(name, self._config.sites[name].source)

    def _view(self, name: str, now_s: float) -> SiteView:
        site = self._sites[name]
        demand = site.window.demand(now_s)
        self._edges.metrics.observed(name, demand)
        # Two witnesses: a collector alone may be restarting, and an API server alone does not carry traffic.
        dead = self._writer.silent(name) and site.failed_reads >= _DEAD_AFTER_READS
        return SiteView(demand, not dead, site.in_flight, site.gateways, site.replicas)

    def _decide_weights(self, views: Mapping[str, SiteView], now_s: float) -> dict[str, str]:
        """Ask the policy, keep what was wanted where demand is missing, and return the reasons by origin."""
        self._saturated = None
        self._snapshot = None
        self._shed = {}
        try:
            snapshot = build_snapshot(self._config, views, running_s=now_s - self._started_s)
            decision, self._policy_state = self._decide(snapshot, self._policy_state, total=self._config.total)
        except SpilloverError as error:
            return dict.fromkeys(self._sites, f"held: {error}")
        self._saturated, self._shed = decision.saturated, decision.shed_by_class_rps
        reasons = {}
        for origin, site in self._sites.items():
            # Once the policy counts the sample as missing too, it holds by itself, without the peers that are dead.
            policy_holds = site.weights is not None and snapshot.is_missing(origin)
            if views[origin].demand.demand_rps is None and not policy_holds:
                reasons[origin] = f"held: {views[origin].demand.reason}"
            else:
                site.weights = self._all_weights(origin, decision)
                self._edges.metrics.wanted(origin, site.weights)
                if origin in self._mode.sites:
                    site.wanted = self._mode.wanted(origin, decision, snapshot, views[origin])
                reasons[origin] = decision.reasons.get(origin, "")
        self._snapshot = snapshot
        return reasons

    def _compare(self, views: Mapping[str, SiteView]) -> Distance | None:
        """Return how far all weights are from the best split; None where a demand is missing."""
        if self._snapshot is None or any(view.demand.demand_rps is None for view in views.values()):
            return None
        try:
            return distance(self._snapshot, {name: site.weights or {} for name, site in self._sites.items()})
        except (ArithmeticError, ValueError):  # nobody decides by it, so it must not end the loop
            return None

    def _all_weights(self, origin: str, decision: Decision) -> dict[str, int]:
        """Return the weights with a 0 for every destination that the decision leaves out."""
        destinations = self._config.sites[origin].destinations
        return dict.fromkeys(destinations, 0) | dict(decision.weights[origin])

    def _wanted(self) -> dict[str, Any]:
        return {name: site.wanted for name, site in self._sites.items() if site.wanted is not None}


def _rpm(demand_rps: float | None) -> float | None:
    return None if demand_rps is None else round(60.0 * demand_rps, 3)


def _next(planned_s: float, step_s: float, now_s: float) -> float:
    """Return the first planned time after ``now_s``: what was missed is skipped, never made up for in a burst."""
    missed = max(0, int((now_s - planned_s) / step_s))
    return planned_s + (missed + 1) * step_s
