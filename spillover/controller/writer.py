"""Brings wanted weights to every origin's VirtualService, all sites at once, and leaves a failing API server alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from spillover.clusters import ClusterError, Unreachable
from spillover.controller.backoff import Backoff
from spillover.controller.reconcile import Applied, Target, reconcile
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.controller.edges import Edges
    from spillover.controller.lanes import Outcome, Runner
    from spillover.reconciliation import ClusterApi

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one round of writing.

    Parameters
    ----------
    written : list of str
        Origins whose weights were written.
    problems : dict of str to str
        Why others may not have theirs, by origin.
    """

    written: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


class WeightsWriter:
    """Reconciles origins and remembers which API servers fail.

    Parameters
    ----------
    config
        Which VirtualServices, and the deadlines.
    clusters
        API server by site, for every site that has a VirtualService.
    runner
        Runs one task a site at once.
    edges
        Clocks, log, metrics, chance.
    """

    def __init__(
        self, config: ControllerConfig, clusters: Mapping[str, ClusterApi], runner: Runner, edges: Edges
    ) -> None:
        self._total = config.total
        self._targets = {
            name: Target(site.virtual_service, site.destinations)
            for name, site in config.sites.items()
            if site.virtual_service is not None
        }
        self._clusters = clusters
        self._runner = runner
        self._edges = edges
        first_s = min(_FIRST_BACKOFF_S, config.period_s / 2)
        self._backoffs = {name: Backoff(first_s, _LONGEST_BACKOFF_S, edges.rng) for name in self._targets}
        self._silent: set[str] = set()

    @property
    def failing(self) -> set[str]:
        """Origins whose last attempt failed."""
        return {name for name, backoff in self._backoffs.items() if backoff.failing}

    def silent(self, name: str) -> bool:
        """Whether the last attempt at this site met an API server that did not answer."""
        return name in self._silent

    def apply(self, wanted: Mapping[str, Mapping[str, int]], deadline_s: float) -> Report:
        """Read each origin's VirtualService and write what differs.

        Parameters
        ----------
        wanted
            Weight by site, by origin; sites without a VirtualService are passed over.
        deadline_s
            How long to wait for the slowest; it goes on in its own thread and is heard of in a later round.
        """
        now_s = self._edges.clock()
        mine = wanted.keys() & self._targets.keys()
        ready = [name for name in sorted(mine) if self._backoffs[name].ready(now_s)]
        report = Report(problems=dict.fromkeys(mine - set(ready), "its API server is left alone for a moment"))
        tasks = {name: partial(self._reconcile, name, wanted[name]) for name in ready}
        came: set[str] = set()
        for outcome in self._runner.run(tasks, deadline_s):
            came.add(outcome.name)
            self._ended(outcome, report)
        for name in tasks.keys() - came:
            self._failed(name, Unreachable(f"no answer within {deadline_s:g} s"), report)
        return report

    def _reconcile(self, name: str, weights: Mapping[str, int]) -> Applied:
        edges = self._edges
        applied = reconcile(self._clusters[name], self._targets[name], weights, total=self._total, clock=edges.clock)
        if applied.written:
            # Logged where it happens: a write that ends after the deadline has its true time too.
            edges.log(
                "weights_written",
                {
                    "time": edges.wall_clock(),
                    "origin": name,
                    "before": dict(applied.before),
                    "after": dict(applied.after),
                    "write_ms": round(applied.write_ms, 3),
                },
            )
            edges.metrics.wrote(name, applied.write_ms)
        return applied

    def _ended(self, outcome: Outcome[Applied], report: Report) -> None:
        if outcome.value is None:
            self._failed(outcome.name, outcome.error, report)
            return
        self._backoffs[outcome.name].succeeded()
        self._silent.discard(outcome.name)
        if outcome.value.written and outcome.name not in report.written:
            report.written.append(outcome.name)

    def _failed(self, name: str, error: Exception | None, report: Report) -> None:
        asked_s = error.retry_after_s if isinstance(error, ClusterError) else None
        self._backoffs[name].failed(self._edges.clock(), asked_s)
        if isinstance(error, Unreachable):
            self._silent.add(name)
        else:
            self._silent.discard(name)
        # The words of an error that is not ours could hold anything, a credential too.
        why = str(error) if isinstance(error, SpilloverError) else f"an unexpected {type(error).__name__}"
        self._edges.metrics.failed(name, "api")
        self._edges.log("write_failed", {"time": self._edges.wall_clock(), "origin": name, "error": why})
        report.problems[name] = f"not written: {why}"
