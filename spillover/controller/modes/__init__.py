"""How a decision acts on the mesh: one mode, one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from spillover.controller.modes.fallback import FallbackMode
from spillover.controller.modes.weights import WeightsMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.controller.reconcile import Applied, ClusterApi
    from spillover.controller.snapshot import SiteView
    from spillover.model import Decision, Snapshot


class Mode(Protocol):
    """What the loop and the writer need of a mode."""

    @property
    def sites(self) -> frozenset[str]:
        """Return the sites at which there is something to write."""
        ...

    def event(self, name: str) -> str:
        """Return the name of the log's event for a write at a site."""
        ...

    def weighs(self, name: str) -> bool:
        """Return whether weights split the requests of a site, as far as is known."""
        ...

    def overflow_supported(self) -> Mapping[str, str]:
        """Return why a site cannot overflow, by site, empty where it can; without those of which nothing is known."""
        ...

    def wanted(self, name: str, decision: Decision, snapshot: Snapshot, view: SiteView) -> Any:
        """Return what a site should have, whose gateways divide its rates among themselves."""
        ...

    def described(self, wanted: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
        """Return what the sites should have beside weights, as plain numbers by site; empty when there is nothing."""
        ...

    def forget(self) -> None:
        """Forget what is known of the sites' objects: another has led."""
        ...

    def reconcile(self, name: str, cluster: ClusterApi, wanted: Any, clock: Callable[[], float]) -> Applied:
        """Bring a site to what it should have; SpilloverError when it cannot."""
        ...


def of(config: ControllerConfig) -> Mode:
    """Return the mode that the configuration asks for."""
    return FallbackMode(config) if config.mode == "overflow" else WeightsMode(config)
