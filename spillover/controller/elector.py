"""Looks at the lease again and again, and writes what `spillover.controller.leadership` says."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from spillover.clusters import ClusterError, Conflict, NotFound
from spillover.controller.leadership import Lease
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from threading import Event

    from spillover.controller.edges import Edges
    from spillover.controller.leadership import Leadership


class LeaseApi(Protocol):
    """What is needed of `spillover.clusters.Cluster`."""

    def get_lease(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the lease."""
        ...

    def write_lease(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Create it, or replace the one of its version."""
        ...


class Elector:
    """Keeps one controller's leadership up to date.

    `run` belongs in a thread of its own: it may hang in a call without harm, because `leads` asks the clock alone.

    Parameters
    ----------
    leadership
        The rules and what is known.
    leases
        The API server that has the lease.
    namespace, name
        Of the lease.
    edges
        Clocks, log, metrics, chance.
    """

    def __init__(self, leadership: Leadership, leases: LeaseApi, namespace: str, name: str, edges: Edges) -> None:
        self._leadership = leadership
        self._leases = leases
        self._namespace = namespace
        self._name = name
        self._edges = edges
        self._failing = False
        self._logged_epoch: int | None = None

    def leads(self) -> bool:
        """Whether this controller leads at this moment; a change is logged."""
        epoch = self._leadership.leading_epoch(self._edges.clock())
        if epoch != self._logged_epoch:
            self._logged_epoch = epoch
            self._edges.metrics.led_in(self._leadership.epoch)
            self._log("leading" if epoch else "not_leading", epoch=self._leadership.epoch)
        return bool(epoch)

    def run(self, stop: Event) -> None:
        """Stand for election until ``stop`` is set; then let another lead."""
        while not stop.wait(self.step()):
            pass
        self.release()

    def step(self) -> float:
        """Look at the lease once, write it where it is ours to write, and return the seconds until the next look."""
        try:
            self._look()
        except Exception as error:  # noqa: BLE001  whatever it is, the next look comes: a replica must not drop out
            return self._failed(error)
        if self._failing:
            self._log("lease_back")
        self._failing = False
        return self._leadership.times.retry_period_s

    def release(self) -> None:
        """Stop leading at once, and empty the lease if it can be done: else it runs out."""
        self._leadership.stop()
        try:
            free = self._leadership.freed(self._found(), self._now())
            if free is not None:
                self._leases.write_lease(free.manifest(self._namespace, self._name))
        except SpilloverError as error:
            self._failed(error)
        self.leads()

    def _look(self) -> None:
        found = self._found()
        wanted = self._leadership.plan(found, self._edges.clock(), self._now())
        if wanted is not None:
            begun_s = self._edges.clock()
            with suppress(Conflict):  # another was faster, which the next look will show
                self._leases.write_lease(wanted.manifest(self._namespace, self._name))
                self._leadership.wrote(wanted, begun_s)

    def _found(self) -> Lease | None:
        try:
            return Lease.of(self._leases.get_lease(self._namespace, self._name))
        except NotFound:
            return None

    def _failed(self, error: Exception) -> float:
        # The words of an error that is not ours could hold anything, a credential too.
        why = str(error) if isinstance(error, SpilloverError) else f"an unexpected {type(error).__name__}"
        self._edges.metrics.failed("", "lease")
        if not self._failing:  # the first of a row only
            self._log("lease_failed", error=why)
        self._failing = True
        asked_s = error.retry_after_s if isinstance(error, ClusterError) else None
        times = self._leadership.times
        return max(times.retry_period_s, min(asked_s or 0.0, times.lease_duration_s))

    def _log(self, event: str, **fields: Any) -> None:
        self._edges.log(event, {"time": self._edges.wall_clock(), "identity": self._leadership.identity, **fields})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._edges.wall_clock(), UTC)
