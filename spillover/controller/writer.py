"""Brings what is wanted to every site's objects, all sites at once, and leaves a failing API server alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from spillover.clusters import ClusterError, Unreachable
from spillover.controller.backoff import Backoff
from spillover.controller.fence import NotLeading
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.edges import Edges
    from spillover.controller.lanes import Outcome, Runner
    from spillover.controller.modes import Mode
    from spillover.controller.reconcile import Applied, ClusterApi

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0

LEFT_ALONE = "its API server is left alone for a moment"
"""Why a site is passed over after a failure."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one round of writing.

    Parameters
    ----------
    written : list of str
        Sites at which something was written.
    problems : dict of str to str
        Why others may not have what they should, by site.
    """

    written: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


class Writer:
    """Reconciles sites and remembers which API servers fail.

    Parameters
    ----------
    mode
        What is written, and where.
    period_s
        Seconds from one decision to the next.
    clusters
        API server by site, for every site at which there is something to write.
    runner
        Runs one task a site at once.
    edges
        Clocks, log, metrics, chance.
    """

    def __init__(
        self, mode: Mode, period_s: float, clusters: Mapping[str, ClusterApi], runner: Runner, edges: Edges
    ) -> None:
        self._mode = mode
        self._clusters = clusters
        self._runner = runner
        self._edges = edges
        first_s = min(_FIRST_BACKOFF_S, period_s / 2)
        self._backoffs = {name: Backoff(first_s, _LONGEST_BACKOFF_S, edges.rng) for name in sorted(mode.sites)}
        self._silent: set[str] = set()

    @property
    def mode(self) -> Mode:
        """How decisions act on the mesh."""
        return self._mode

    @property
    def failing(self) -> set[str]:
        """Sites whose last attempt failed."""
        return {name for name, backoff in self._backoffs.items() if backoff.failing}

    def silent(self, name: str) -> bool:
        """Whether the last attempt at this site met an API server that did not answer."""
        return name in self._silent

    def apply(self, wanted: Mapping[str, Any], deadline_s: float) -> Report:
        """Read each site's objects and write what differs.

        Parameters
        ----------
        wanted
            From the mode, by site; sites at which there is nothing to write are passed over.
        deadline_s
            How long to wait for the slowest; it goes on in its own thread and is heard of in a later round.
        """
        now_s = self._edges.clock()
        mine = wanted.keys() & self._mode.sites
        ready = [name for name in sorted(mine) if self._backoffs[name].ready(now_s)]
        report = Report(problems=dict.fromkeys(mine - set(ready), LEFT_ALONE))
        tasks = {name: partial(self._reconcile, name, wanted[name]) for name in ready}
        came: set[str] = set()
        for outcome in self._runner.run(tasks, deadline_s):
            came.add(outcome.name)
            self._ended(outcome, report)
        for name in tasks.keys() - came:
            self._failed(name, Unreachable(f"no answer within {deadline_s:g} s"), report)
        return report

    def _reconcile(self, name: str, wanted: Any) -> Applied:
        edges = self._edges
        applied = self._mode.reconcile(name, self._clusters[name], wanted, edges.clock)
        if applied.written:
            # Logged where it happens: a write that ends after the deadline has its true time too.
            edges.log(
                self._mode.event(name),
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
        if isinstance(outcome.error, NotLeading):  # no fault of the API server's
            report.problems[outcome.name] = f"not written: {outcome.error}"
        elif outcome.value is None:
            self._failed(outcome.name, outcome.error, report)
        else:
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
