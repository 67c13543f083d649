"""Overflow mode: the decision as the numbers of each site's proxies, which spill by themselves.

The objects of a site are read in turn, one a period, and besides whenever a number of theirs has to change; so what a
person edits is put right within as many periods as there are objects, and a quiet site costs one read a period.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from spillover.clusters import Conflict
from spillover.controller.reconcile import Applied, ClusterApi
from spillover.meshes import overflow
from spillover.meshes.overflow import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.controller.snapshot import SiteView
    from spillover.meshes.objects import ObjectRef
    from spillover.model import Decision, Snapshot

SHORTEST_INTERVAL_S = 5.0
"""Between two writes of one object: a bucket starts full at each, so frequent ones would let more through."""

_MOST_ATTEMPTS = 3


class OverflowMode:
    """Writes rates, limits and weights of proxies, and nothing else.

    Parameters
    ----------
    config
        Which applications, and the identities of the gateways around them.
    """

    def __init__(self, config: ControllerConfig) -> None:
        self._sites = {
            name: _Objects(overflow.numbered_objects(site.overflow.application, site.overflow.namespace))
            for name, site in config.sites.items()
            if site.overflow is not None
        }
        self._identities = {
            name: dict(site.overflow.identities) for name, site in config.sites.items() if site.overflow is not None
        }

    @property
    def sites(self) -> frozenset[str]:
        """Return the sites whose proxies are told numbers."""
        return frozenset(self._sites)

    def event(self, name: str) -> str:  # noqa: ARG002
        """Return the name of the log's event for a write."""
        return "numbers_written"

    def objects(self, name: str) -> tuple[ObjectRef, ...]:
        """Return a site's objects that hold numbers."""
        return self._sites[name].refs

    def wanted(self, name: str, decision: Decision, snapshot: Snapshot, view: SiteView) -> overflow.Numbers:
        """Return what the site's proxies should enforce."""
        return overflow.numbers_for(
            decision,
            snapshot.sites[name],
            self._identities[name],
            gateways=view.gateways,
            replicas=view.replicas or 1,
        )

    def described(self, wanted: Mapping[str, overflow.Numbers]) -> Mapping[str, Mapping[str, float]]:
        """Return the numbers under flat names, by site."""
        return {name: site.described() for name, site in wanted.items()}

    def forget(self) -> None:
        """Read every object the next time."""
        for name in self._sites:
            self.forget_site(name)

    def forget_site(self, name: str) -> None:
        """Read every object of a site the next time."""
        self._sites[name].forget()

    def reconcile(
        self, name: str, cluster: ClusterApi, wanted: overflow.Numbers, clock: Callable[[], float]
    ) -> Applied:
        """Read the objects that may differ and write the numbers that differ by enough."""
        objects = self._sites[name]
        before: dict[str, float] = {}
        after: dict[str, float] = {}
        began_s = clock()
        for ref in objects.due(wanted, began_s):
            found, stored = _bring(cluster, ref, wanted)
            written = stored is not found
            objects.seen(ref, stored, clock() if written else None)
            if written:
                before |= numbers.read(found, wanted.identities)
                after |= numbers.read(stored, wanted.identities)
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        write_ms = 1000.0 * (clock() - began_s)
        return Applied({key: before[key] for key in changed if key in before}, changed, bool(changed), write_ms)


def _bring(cluster: ClusterApi, ref: ObjectRef, wanted: overflow.Numbers) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an object as it was found and as it is now, which is the same one where nothing had to change."""
    for attempt in range(1, _MOST_ATTEMPTS + 1):
        try:
            found = cluster.get_object(ref)
            patch = numbers.json_patch(found, wanted)
            return found, cluster.patch_numbers(ref, patch) if patch else found
        except Conflict:
            if attempt == _MOST_ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


class _Objects:
    """What is known of one site's objects."""

    def __init__(self, refs: tuple[ObjectRef, ...]) -> None:
        self.refs = refs
        self._last: dict[ObjectRef, dict[str, Any]] = {}
        self._written_s: dict[ObjectRef, float] = {}
        self._turn = count()
        self._closed = False

    def due(self, wanted: overflow.Numbers, now_s: float) -> list[ObjectRef]:
        """Return the objects to read now: those that are to change and may, and the one whose turn it is.

        A home that can serve nobody any more waits for no interval: each request that it keeps is lost.
        """
        turn = self.refs[next(self._turn) % len(self.refs)]
        closing = wanted.bucket_rps == 0.0 and not self._closed
        self._closed = wanted.bucket_rps == 0.0
        return [
            ref
            for ref in self.refs
            if (closing or now_s - self._written_s.get(ref, -SHORTEST_INTERVAL_S) >= SHORTEST_INTERVAL_S)
            and (ref == turn or ref not in self._last or numbers.json_patch(self._last[ref], wanted))
        ]

    def forget(self) -> None:
        """Forget how the objects were, and remember when they were written."""
        self._last = {}

    def seen(self, ref: ObjectRef, found: dict[str, Any], written_s: float | None) -> None:
        """Remember an object as it is now and, if it was written just now, when."""
        self._last[ref] = found
        if written_s is not None:
            self._written_s[ref] = written_s
