"""Weights mode: the split as the weights of each origin's VirtualService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.controller.reconcile import Applied, ClusterApi, Target, reconcile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.controller.snapshot import SiteView
    from spillover.model import Decision, Snapshot


class WeightsMode:
    """Writes weights and nothing else.

    Parameters
    ----------
    config
        Which VirtualServices.
    """

    def __init__(self, config: ControllerConfig) -> None:
        self._total = config.total
        self._targets = {
            name: Target(site.virtual_service, site.destinations)
            for name, site in config.sites.items()
            if site.virtual_service is not None
        }

    @property
    def sites(self) -> frozenset[str]:
        """Return the origins that have a VirtualService."""
        return frozenset(self._targets)

    def event(self, name: str) -> str:  # noqa: ARG002
        """Return the name of the log's event for a write."""
        return "weights_written"

    def weighs(self, name: str) -> bool:  # noqa: ARG002
        """Return true: nothing else splits."""
        return True

    def overflow_supported(self) -> Mapping[str, str]:
        """Return nothing: nobody asked."""
        return {}

    def wanted(self, name: str, decision: Decision, snapshot: Snapshot, view: SiteView) -> Mapping[str, int]:  # noqa: ARG002
        """Return the weights by site, with a 0 for every destination that the decision leaves out."""
        return dict.fromkeys(self._targets[name].destinations, 0) | dict(decision.weights[name])

    def described(self, wanted: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, float]]:  # noqa: ARG002
        """Return nothing: there are only weights."""
        return {}

    def forget(self) -> None:
        """Do nothing: each period reads what there is."""

    def reconcile(
        self, name: str, cluster: ClusterApi, wanted: Mapping[str, int], clock: Callable[[], float]
    ) -> Applied:
        """Write the weights that differ."""
        return reconcile(cluster, self._targets[name], wanted, total=self._total, clock=clock)
