"""The groups as they are stored: a list once, then a watch from its version on, again and again.

A watch ends after `WATCH_S` and goes on from the last version. A version that the API server has forgotten (410) costs
a new list. Failures are left alone for ever longer, with jitter. Meanwhile the groups are what they were last: a
controller does not stop because its API server does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from spillover.clusters import ClusterError, Expired, NotFound
from spillover.controller.backoff import Backoff
from spillover.groups.resource import API_VERSION, GROUP, PLURAL, Group
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from threading import Event

    from spillover.controller.edges import Edges

WATCH_S = 10
"""Also how long a connection that died without a word goes unnoticed."""

MISSING = f"the API server does not know {PLURAL}: apply the CustomResourceDefinition {PLURAL}.{GROUP}"

_UNREAD = "the groups were not read yet"

_SHORTEST_WATCH_S = 1.0
"""Something on the way to the API server may end each watch at once: it is asked only so often."""

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 15.0


class FeedApi(Protocol):
    """What is needed of `spillover.clusters.Cluster`."""

    def list_objects(self, api_version: str, plural: str, namespace: str) -> dict[str, Any]:
        """Return the list object."""
        ...

    def watch_objects(
        self, api_version: str, plural: str, namespace: str, version: str, *, watch_s: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the events after a version; Expired if that is no longer known."""
        ...


class Feed:
    """Keeps the groups of one namespace up to date. `run` belongs in a thread of its own.

    Parameters
    ----------
    api
        The API server that has them.
    namespace
        Where they are.
    edges
        Clocks, log, chance.
    changed
        Called, from the feed's thread, after the groups or the problem changed.
    """

    def __init__(self, api: FeedApi, namespace: str, edges: Edges, changed: Callable[[], None]) -> None:
        self._api = api
        self._namespace = namespace
        self._edges = edges
        self._changed = changed
        self._backoff = Backoff(_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S, edges.rng)
        self._version = ""
        self._lock = threading.Lock()
        self._groups: dict[str, Group] = {}
        self._problem = _UNREAD
        self._synced = False

    @property
    def groups(self) -> dict[str, Group]:
        """The groups by uid, as they were read last."""
        with self._lock:
            return dict(self._groups)

    @property
    def problem(self) -> str:
        """Why the groups may not be what is stored; empty while all is well."""
        return self._problem

    @property
    def synced(self) -> bool:
        """Whether the groups have been read at all."""
        return self._synced

    def run(self, stop: Event) -> None:
        """List and watch until ``stop`` is set; a watch under way is left to end by itself."""
        while not stop.wait(self.step()):
            pass

    def step(self) -> float:
        """List, or watch until something ends the watch, and return the seconds until the next step."""
        begun_s, listed = self._edges.clock(), not self._version
        try:
            self._list() if listed else self._follow()
        except Expired:
            self._version = ""
            self._edges.log("groups_expired", {"time": self._edges.wall_clock()})
            return self._failed(None)
        except Exception as error:  # noqa: BLE001  whatever it is, the next step comes: a daemon must not go deaf
            return self._failed(error)
        if self._problem:
            self._say("")
        self._backoff.succeeded()
        lasted_s = self._edges.clock() - begun_s
        return 0.0 if listed else max(0.0, _SHORTEST_WATCH_S - lasted_s)

    def _list(self) -> None:
        answer = self._api.list_objects(API_VERSION, PLURAL, self._namespace)
        groups = [Group.of(item) for item in answer["items"]]
        with self._lock:
            self._groups = {group.uid: group for group in groups}
        self._version = answer["metadata"]["resourceVersion"]
        self._synced = True
        self._changed()

    def _follow(self) -> None:
        for event in self._api.watch_objects(API_VERSION, PLURAL, self._namespace, self._version, watch_s=WATCH_S):
            self._take(event)
            if self._problem:
                self._say("")

    def _take(self, event: Mapping[str, Any]) -> None:
        stored = event["object"]
        if event["type"] != "BOOKMARK":
            group = Group.of(stored)
            with self._lock:
                if event["type"] == "DELETED":
                    self._groups.pop(group.uid, None)
                else:
                    self._groups[group.uid] = group
            self._changed()
        self._version = stored["metadata"]["resourceVersion"]

    def _failed(self, error: Exception | None) -> float:
        asked_s = error.retry_after_s if isinstance(error, ClusterError) else None
        now_s = self._edges.clock()
        self._backoff.failed(now_s, asked_s)
        if isinstance(error, NotFound):
            self._version = ""  # a definition that comes back begins anew
            self._say(MISSING)
        elif error is not None:
            # The words of an error that is not ours could hold anything, a credential too.
            self._say(str(error) if isinstance(error, SpilloverError) else f"an unexpected {type(error).__name__}")
        return self._backoff.wait_s(now_s)

    def _say(self, problem: str) -> None:
        """Remember a problem, and log it when it begins, changes or ends."""
        if problem != self._problem:
            before, self._problem = self._problem, problem
            if problem:
                self._edges.log("groups_failed", {"time": self._edges.wall_clock(), "error": problem})
            elif before != _UNREAD:
                self._edges.log("groups_back", {"time": self._edges.wall_clock()})
            self._changed()
