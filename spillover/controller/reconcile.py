"""Make the weights of one site's VirtualService what they should be, in the names of sites instead of destinations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from spillover import reconciliation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spillover.controller.config import VirtualServiceRef
    from spillover.meshes.objects import ObjectRef

_MOST_ATTEMPTS = 3
"""Reads and writes before a conflict is left to the next period: somebody else is writing all the time."""


class ClusterApi(reconciliation.ClusterApi, Protocol):
    """What is needed of `spillover.clusters.Cluster`."""

    def get_object(self, ref: ObjectRef) -> dict[str, Any]:
        """Return the object."""
        ...

    def patch_numbers(self, ref: ObjectRef, patch: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Apply the patch."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where weights go.

    Parameters
    ----------
    virtual_service : VirtualServiceRef
        Which object and route.
    destinations : mapping of str to str
        Destination key by site.
    """

    virtual_service: VirtualServiceRef
    destinations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Applied:
    """What a reconciliation found and did.

    Parameters
    ----------
    before, after : mapping of str to float
        Weights by site; a destination that the settings do not know stands under its key. Or other numbers by name.
    written : bool
        Whether anything differed and was written.
    write_ms : float
        Time of the write alone, 0 when there was none.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    written: bool
    write_ms: float


def reconcile(
    cluster: ClusterApi,
    target: Target,
    weights: Mapping[str, int],
    *,
    total: int,
    clock: Callable[[], float],
) -> Applied:
    """Read the VirtualService and write the weights that differ, if any.

    Parameters
    ----------
    cluster
        The site's API server.
    target
        Which VirtualService, and its destinations.
    weights
        Weight by site; a destination without one gets 0.
    total
        What they sum to.
    clock
        Monotonic seconds.

    Raises
    ------
    SpilloverError
        If the API fails, the object does not have these destinations, or each attempt met a conflict.
    """
    ref = target.virtual_service
    change = reconciliation.reconcile_weights(
        cluster,
        reconciliation.Target(ref.namespace, ref.name, ref.route, ref.api_version),
        {key: weights.get(site, 0) for site, key in target.destinations.items()},
        total=total,
        attempts=_MOST_ATTEMPTS,
        clock=clock,
    )
    return Applied(
        before=_by_site(change.weights_before, target),
        after=_by_site(change.weights, target),
        written=change.after is not change.before,
        write_ms=change.write_ms,
    )


def _by_site(weights: Mapping[str, int], target: Target) -> dict[str, int]:
    sites = {key: site for site, key in target.destinations.items()}
    return {sites.get(key, key): weight for key, weight in weights.items()}
