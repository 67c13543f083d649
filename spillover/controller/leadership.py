"""Which of several controllers leads: the rules of a coordination.k8s.io/v1 Lease. No I/O; time is an argument.

A candidate believes no clock but its own. It takes a lease that is free, or one that has not changed for the lease's
duration since the candidate first saw it so; the times that stand in a lease are for people. A leader leads for the
renew deadline from the moment at which it *began* its last successful write of the lease:

    leader:    begins to write at t ------ stops at t + renew_deadline_s
    candidate:      sees it written at t' >= t ------------ may take it at t' + lease_duration_s

so with renew_deadline_s < lease_duration_s the leader has stopped before the next one begins, and nobody needs to run
for it to stop: whether it leads is a comparison with the clock, made before each write.

The epoch is the lease's ``leaseTransitions``. It grows each time that leadership is taken, beyond every epoch that the
candidate has met, also on the objects that it writes (see `spillover.controller.fence`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long things take.

    Parameters
    ----------
    lease_duration_s : float
        How long an unchanged lease is respected.
    renew_deadline_s : float
        How long a leader leads after it began its last successful write of the lease; below `lease_duration_s`.
    retry_period_s : float
        From one look at the lease to the next.
    """

    lease_duration_s: float = 6.0
    renew_deadline_s: float = 4.0
    retry_period_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """What stands in a lease.

    Parameters
    ----------
    holder : str
        Identity of the leader; empty when it is free.
    epoch : int
        Its ``leaseTransitions``.
    duration_s : float
        How long its holder asks others to wait.
    acquired, renewed : str
        When, by the holder's wall clock: for people, and so that two renewals never look alike.
    version : str
        resourceVersion of the object; empty when there is none yet.
    """

    holder: str = ""
    epoch: int = 0
    duration_s: float = 0.0
    acquired: str = ""
    renewed: str = ""
    version: str = ""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Lease:
        """Read the object that the API server returns; what is absent counts as free."""
        spec = stored.get("spec") or {}
        return cls(
            holder=spec.get("holderIdentity") or "",
            epoch=spec.get("leaseTransitions") or 0,
            duration_s=float(spec.get("leaseDurationSeconds") or 0),
            acquired=spec.get("acquireTime") or "",
            renewed=spec.get("renewTime") or "",
            version=stored["metadata"]["resourceVersion"],
        )

    def manifest(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the object to write; with a version it replaces that one only."""
        metadata = {"namespace": namespace, "name": name} | ({"resourceVersion": self.version} if self.version else {})
        spec = {
            "holderIdentity": self.holder,
            "leaseTransitions": self.epoch,
            "leaseDurationSeconds": max(1, math.ceil(self.duration_s)),
            "acquireTime": self.acquired,
            "renewTime": self.renewed,
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True)
class _Term:
    """A time of leading; replaced as a whole, so that a thread that asks never sees half of a change."""

    epoch: int = 0
    ends_s: float = -math.inf


class Leadership:
    """What one candidate knows.

    One thread calls `plan` and `wrote`; any thread may call the others.

    Parameters
    ----------
    identity : str
        Name in the lease; different for each process.
    times : LeaseTimes
        How long things take.
    """

    def __init__(self, identity: str, times: LeaseTimes) -> None:
        self.identity = identity
        self.times = times
        self._term = _Term()
        self._highest_epoch = 0
        self._stopped = False
        self._seen: Lease | None = None
        self._seen_since_s = -math.inf

    @property
    def epoch(self) -> int:
        """The epoch in which this candidate leads, or last led; 0 when it never has."""
        return self._term.epoch

    def leading_epoch(self, now_s: float) -> int:
        """Return the epoch in which it leads at this moment; 0 when it does not lead."""
        term = self._term
        leads = now_s < term.ends_s and term.epoch >= self._highest_epoch and not self._stopped
        return term.epoch if leads else 0

    def superseded(self, epoch: int) -> None:
        """Note that someone has led in this epoch: whoever leads in an older one has stopped."""
        self._highest_epoch = max(self._highest_epoch, epoch)

    def plan(self, found: Lease | None, now_s: float, now: datetime) -> Lease | None:
        """Say what to write, given the lease as it was just read.

        Parameters
        ----------
        found : Lease, optional
            None when there is no such object.
        now_s : float
            Monotonic seconds at which the answer came: a lease that is seen changed later is taken later.
        now : datetime
            Wall clock, to be written and never compared.

        Returns
        -------
        Lease or None
            To be written if the object is still the one that was found; None when it is another's turn.
        """
        if found is None or found != self._seen:
            self._seen, self._seen_since_s = found, now_s
        found = found or Lease()
        self.superseded(found.epoch)
        mine = found.holder == self.identity and found.epoch == self._term.epoch
        if not mine:
            self._term = replace(self._term, ends_s=-math.inf)
        if self._stopped:
            return None
        if mine and self._term.epoch >= self._highest_epoch:
            return self._written_by_me(found, now)
        wait_s = max(self.times.lease_duration_s, found.duration_s)
        if found.holder in {"", self.identity} or now_s - self._seen_since_s >= wait_s:
            return self._written_by_me(replace(found, epoch=self._highest_epoch + 1, acquired=_stamp(now)), now)
        return None

    def wrote(self, lease: Lease, begun_s: float) -> None:
        """Note that the API server has stored what `plan` said.

        Parameters
        ----------
        lease : Lease
            As it was planned.
        begun_s : float
            Monotonic seconds before the call.
        """
        self._highest_epoch = max(self._highest_epoch, lease.epoch)
        self._term = _Term(lease.epoch, begun_s + self.times.renew_deadline_s)

    def stop(self) -> None:
        """Stop leading for good."""
        self._stopped = True

    def freed(self, found: Lease | None, now: datetime) -> Lease | None:
        """Say what to write so that another may begin at once; None when the lease is not ours."""
        if found is None or found.holder != self.identity:
            return None
        return replace(found, holder="", renewed=_stamp(now))

    def _written_by_me(self, found: Lease, now: datetime) -> Lease:
        # A write that changes nothing is not stored, and the others would see no renewal.
        renewed = _stamp(now) if _stamp(now) != found.renewed else _stamp(now + timedelta(microseconds=1))
        return replace(found, holder=self.identity, duration_s=self.times.lease_duration_s, renewed=renewed)


def _stamp(now: datetime) -> str:
    """Write a time as Kubernetes' MicroTime."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
