"""Make the weights of one site's VirtualService what they should be: read, compare, write only what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from spillover.clusters import Conflict
from spillover.meshes import istio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spillover.controller.config import VirtualServiceRef
    from spillover.meshes.objects import ObjectRef

_MOST_ATTEMPTS = 3
"""Reads and writes before a conflict is left to the next period: somebody else is writing all the time."""


class ClusterApi(Protocol):
    """What is needed of `spillover.clusters.Cluster`."""

    def get_virtual_service(self, namespace: str, name: str, api_version: str = ...) -> dict[str, Any]:
        """Return the object."""
        ...

    def patch_virtual_service_weights(
        self, namespace: str, name: str, patch: Sequence[dict[str, Any]], *, api_version: str = ...
    ) -> dict[str, Any]:
        """Apply the patch."""
        ...

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
        Time of the write alone.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    written: bool
    write_ms: float = 0.0


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
    wanted = {key: weights.get(site, 0) for site, key in target.destinations.items()}
    for _ in range(_MOST_ATTEMPTS - 1):
        try:
            return _attempt(cluster, target, wanted, total, clock)
        except Conflict:
            continue
    return _attempt(cluster, target, wanted, total, clock)


def _attempt(
    cluster: ClusterApi, target: Target, wanted: Mapping[str, int], total: int, clock: Callable[[], float]
) -> Applied:
    ref = target.virtual_service
    found = cluster.get_virtual_service(ref.namespace, ref.name, ref.api_version)
    in_force = istio.read_weights(found, ref.route)
    before = _by_site(in_force, target)
    patch = istio.json_patch(found, wanted, ref.route, total=total)
    if not patch:
        return Applied(before, before, written=False)
    began_s = clock()
    cluster.patch_virtual_service_weights(ref.namespace, ref.name, patch, api_version=ref.api_version)
    write_ms = 1000.0 * (clock() - began_s)
    return Applied(before, _by_site({**in_force, **wanted}, target), written=True, write_ms=write_ms)


def _by_site(weights: Mapping[str, int], target: Target) -> dict[str, int]:
    sites = {key: site for site, key in target.destinations.items()}
    return {sites.get(key, key): weight for key, weight in weights.items()}
