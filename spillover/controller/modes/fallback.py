"""Overflow mode, and weights mode at each site whose proxies cannot overflow: its overflow objects are absent.

A stand-up that finds such a proxy gives its site weighted routes and none of the objects of overflow mode. All of them
have to be absent: a single one that somebody deleted is an error, and the others go on spilling by themselves.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from spillover.clusters import NotFound
from spillover.controller.modes.overflow import OverflowMode
from spillover.controller.modes.weights import WeightsMode
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.controller.reconcile import Applied, ClusterApi
    from spillover.controller.snapshot import SiteView
    from spillover.meshes import overflow
    from spillover.model import Decision, Snapshot

LOOK_AGAIN_S = 10.0
"""How often a site in weights mode is looked at: its objects may have come."""

ABSENT = "the objects of overflow mode are absent, so weights are written instead"


class Wanted(NamedTuple):
    """What a site should have, in either mode; without weights where it has no VirtualService to write."""

    numbers: overflow.Numbers
    weights: Mapping[str, int] | None


class FallbackMode:
    """Hands a site to weights mode while it has no overflow objects, and takes it back when they appear.

    Parameters
    ----------
    config
        As both modes need it.
    """

    def __init__(self, config: ControllerConfig) -> None:
        self._overflow = OverflowMode(config)
        self._weights = WeightsMode(config)
        # Each site is reconciled in a thread of its own, and changes its own entries alone.
        self._present: dict[str, bool] = {}
        self._look_s: dict[str, float] = {}

    @property
    def sites(self) -> frozenset[str]:
        """Return the sites whose proxies are told numbers, or would be if they could overflow."""
        return self._overflow.sites

    def event(self, name: str) -> str:
        """Return the name of the log's event for a write."""
        return (self._weights if self.weighs(name) else self._overflow).event(name)

    def weighs(self, name: str) -> bool:
        """Return whether weights split the requests of a site."""
        return not self._present.get(name, True)

    def overflow_supported(self) -> dict[str, str]:
        """Return why a site cannot overflow, by site, empty where it can; without those that nobody has looked at."""
        return {name: "" if present else ABSENT for name, present in sorted(self._present.copy().items())}

    def wanted(self, name: str, decision: Decision, snapshot: Snapshot, view: SiteView) -> Wanted:
        """Return what the site's proxies should enforce, and the weights beside it."""
        weights = self._weights.wanted(name, decision, snapshot, view) if name in self._weights.sites else None
        return Wanted(self._overflow.wanted(name, decision, snapshot, view), weights)

    def described(self, wanted: Mapping[str, Wanted]) -> Mapping[str, Mapping[str, float]]:
        """Return the numbers of the sites that overflow."""
        return self._overflow.described({name: one.numbers for name, one in wanted.items() if not self.weighs(name)})

    def forget(self) -> None:
        """Look at every object the next time."""
        self._overflow.forget()
        self._look_s = {}

    def reconcile(self, name: str, cluster: ClusterApi, wanted: Wanted, clock: Callable[[], float]) -> Applied:
        """Bring the site to the numbers, or to the weights where the objects that have numbers are absent."""
        if self.weighs(name):
            if clock() < self._look_s.get(name, 0.0) or not self._exist(name, cluster):
                return self._weigh(name, cluster, wanted, clock)
            self._present[name] = True
        try:
            applied = self._overflow.reconcile(name, cluster, wanted.numbers, clock)
        except NotFound:
            if self._exist(name, cluster):
                raise
            self._overflow.forget_site(name)
            self._present[name] = False
            return self._weigh(name, cluster, wanted, clock)
        self._present[name] = True
        return applied

    def _exist(self, name: str, cluster: ClusterApi) -> bool:
        """Return whether the site has any of the objects."""
        for ref in self._overflow.objects(name):
            with suppress(NotFound):
                cluster.get_object(ref)
                return True
        return False

    def _weigh(self, name: str, cluster: ClusterApi, wanted: Wanted, clock: Callable[[], float]) -> Applied:
        # Where weights cannot be written either, the objects may be just coming: look again at the next attempt.
        look_s = self._look_s.pop(name, 0.0)
        if wanted.weights is None:
            raise SpilloverError(
                f"{name} has no overflow objects, and no virtual_service whose weights could be written"
            )
        applied = self._weights.reconcile(name, cluster, wanted.weights, clock)
        self._look_s[name] = look_s if clock() < look_s else clock() + LOOK_AGAIN_S
        return applied
