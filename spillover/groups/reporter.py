"""What is told of the groups: their status, and events about what changed. One API server, one backoff."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from spillover.clusters import ClusterError, Conflict, NotFound
from spillover.controller.backoff import Backoff
from spillover.groups.conditions import Transition, conditions, transitions
from spillover.groups.resource import API_VERSION, GROUP, KIND, PLURAL, Group
from spillover.groups.status import NUMBERS_EVERY_S, can_wait, differing, document
from spillover.meshes.objects import ObjectRef
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.edges import Edges
    from spillover.groups.tick import Tick
    from spillover.groups.verdict import Verdict

_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0

_OWN_WORD_S = 10.0
"""For so long after a write the status is what was written, whatever the feed still says; then it is what is stored."""

_SAME_EVENT_S = 60.0
"""An event says the same of a group at most this often: what flaps fills no event log."""

_LONGEST_NOTE = 1024
_CONTROLLER = f"{GROUP}/controller"


class ReportApi(Protocol):
    """What is needed of `spillover.clusters.Cluster`."""

    def replace_status(self, ref: ObjectRef, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the status of the object with this uid and return the new object."""
        ...

    def create_event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Create an event of events.k8s.io/v1."""
        ...


@dataclass(slots=True)
class _Told:
    """What was last written of a group, and when."""

    status: Mapping[str, Any]
    at_s: float


class Reporter:
    """Writes what differs from what is stored. Not for several threads.

    Parameters
    ----------
    api
        The API server that has the groups.
    identity
        Name of this process, for events.
    edges
        Clocks, log, chance.
    """

    def __init__(self, api: ReportApi, identity: str, edges: Edges) -> None:
        self._api = api
        self._identity = identity
        self._edges = edges
        self._backoff = Backoff(_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S, edges.rng)
        self._told: dict[str, _Told] = {}
        self._noted_s: dict[tuple[str, str, str, str], float] = {}

    def report(self, reports: Mapping[str, tuple[Verdict, Tick | None]]) -> None:
        """Bring the status of each group to what it should be, by uid; a failing API server is left alone."""
        for uid in self._told.keys() - reports.keys():
            del self._told[uid]
        now_s = self._edges.clock()
        self._noted_s = {key: at_s for key, at_s in self._noted_s.items() if now_s - at_s < _SAME_EVENT_S}
        for uid, (verdict, tick) in reports.items():
            if not self._backoff.ready(self._edges.clock()):
                return
            self._one(uid, verdict, tick)

    def _one(self, uid: str, verdict: Verdict, tick: Tick | None) -> None:
        group, now_s = verdict.group, self._edges.clock()
        told = self._told.get(uid)
        before = told.status if told is not None and now_s - told.at_s < _OWN_WORD_S else group.status
        found = conditions(verdict, tick)
        now = datetime.fromtimestamp(self._edges.wall_clock(), UTC)
        after = document(verdict, tick, found, before, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        names = differing(before, after)
        if not names or (can_wait(names) and told is not None and now_s - told.at_s < NUMBERS_EVERY_S):
            return
        try:
            stored = self._api.replace_status(ObjectRef(API_VERSION, PLURAL, group.namespace, group.name), uid, after)
            self._told[uid] = _Told(stored.get("status") or {}, now_s)
            for transition in transitions(found, before.get("conditions") or []):
                self._note(group, transition, now)
        except (NotFound, Conflict):
            return  # it is gone, or another of its name has come: the feed will say so
        except SpilloverError as error:
            asked_s = error.retry_after_s if isinstance(error, ClusterError) else None
            if not self._backoff.failing:  # the first of a row only
                self._log("status_failed", group, error=str(error))
            self._backoff.failed(self._edges.clock(), asked_s)
            return
        self._backoff.succeeded()
        self._log("status_written", group, fields=sorted(names))

    def _note(self, group: Group, transition: Transition, now: datetime) -> None:
        condition = transition.condition
        key = (group.uid, condition.type, condition.status, condition.reason)
        if key in self._noted_s:
            return
        self._noted_s[key] = self._edges.clock()
        self._api.create_event(
            {
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"namespace": group.namespace, "name": f"{group.name}.{secrets.token_hex(8)}"},
                "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "type": "Warning" if transition.warning else "Normal",
                "reason": condition.reason,
                "action": condition.type,
                "note": f"{condition.type} is {condition.status}: {condition.message}"[:_LONGEST_NOTE],
                "regarding": {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "namespace": group.namespace,
                    "name": group.name,
                    "uid": group.uid,
                },
                "reportingController": _CONTROLLER,
                "reportingInstance": self._identity[:128],
            }
        )

    def _log(self, event: str, group: Group, **fields: Any) -> None:
        self._edges.log(event, {"time": self._edges.wall_clock(), "group": str(group), **fields})
