"""One reconciliation of one VirtualService: compare the weights in force with those wanted, write only a difference.

The Ansible module is a thin edge around this file, and the controller calls it once a period for every origin.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from spillover import policies
from spillover.clusters import DEFAULT_API_VERSION, Conflict
from spillover.meshes import istio
from spillover.model import Link, Site, Snapshot, SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ATTEMPTS = 5
"""Reads and writes before giving up on an object that someone else keeps changing."""


class ClusterApi(Protocol):
    """What is needed of `spillover.clusters.Cluster`."""

    def get_virtual_service(self, namespace: str, name: str, api_version: str = ...) -> dict[str, Any]:
        """Return the object."""
        ...

    def patch_virtual_service_weights(
        self, namespace: str, name: str, patch: Sequence[dict[str, Any]], dry_run: bool = ..., *, api_version: str = ...
    ) -> dict[str, Any]:
        """Apply the patch and return the new object."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The weights to own: one HTTP route of one VirtualService.

    Parameters
    ----------
    namespace, name : str
        Of the VirtualService.
    route : str, optional
        Name of its HTTP route; None means the only one with destinations.
    api_version : str
        ``group/version`` to speak.
    """

    namespace: str
    name: str
    route: str | None = None
    api_version: str = DEFAULT_API_VERSION


@dataclass(frozen=True, slots=True)
class Change:
    """What a reconciliation found and left.

    Parameters
    ----------
    before, after : mapping of str to Any
        The VirtualService; the same object when nothing differed.
    weights_before, weights : mapping of str to int
        By destination key, all of the route's.
    write_ms : float
        Time of the write alone, 0 when there was none.
    """

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    weights_before: Mapping[str, int]
    weights: Mapping[str, int]
    write_ms: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether something differed."""
        return self.weights_before != self.weights


def reconcile_weights(
    cluster: ClusterApi,
    target: Target,
    weights: Mapping[str, int],
    *,
    total: int = istio.DEFAULT_TOTAL,
    dry_run: bool = False,
    attempts: int = ATTEMPTS,
    clock: Callable[[], float] = time.monotonic,
) -> Change:
    """Make the route have these weights; write nothing when it has them.

    Parameters
    ----------
    cluster : ClusterApi
        Where the VirtualService lives.
    target : Target
        Which route of which VirtualService.
    weights : mapping of str to int
        By destination key; destinations that are not named keep theirs.
    total : int
        What all weights of the route must sum to.
    dry_run : bool
        Let the server check the write, but not store it.
    attempts : int
        Reads and writes before a conflict is the caller's.
    clock : callable
        Monotonic seconds, for the time of the write.

    Raises
    ------
    SpilloverError
        If the weights do not fit the route, or a call to the cluster fails (`spillover.clusters.ClusterError`).
    """
    attempt = partial(_reconcile_once, cluster, target, weights, total=total, dry_run=dry_run, clock=clock)
    for _ in range(attempts - 1):
        with suppress(Conflict):
            return attempt()
    return attempt()


def _reconcile_once(
    cluster: ClusterApi,
    target: Target,
    weights: Mapping[str, int],
    *,
    total: int,
    dry_run: bool,
    clock: Callable[[], float],
) -> Change:
    before = cluster.get_virtual_service(target.namespace, target.name, target.api_version)
    weights_before = istio.read_weights(before, target.route)
    patch = istio.json_patch(before, weights, target.route, total=total)
    if not patch:
        return Change(before, before, weights_before, weights_before)
    began_s = clock()
    after = cluster.patch_virtual_service_weights(
        target.namespace, target.name, patch, dry_run, api_version=target.api_version
    )
    write_ms = 1000.0 * (clock() - began_s)
    return Change(before, after, weights_before, istio.read_weights(after, target.route), write_ms)


def paper_weights(
    *, rpm: float, rpm_max: float, home: str, peers: Mapping[str, float], total: int = istio.DEFAULT_TOTAL
) -> tuple[dict[str, int], str]:
    """Apply the paper's rule to one origin; return the weights by destination, and why.

    ``W_in = 100`` below ``RPM_max``, else ``100 * RPM_max / RPM``; the rest goes to the peers by their capacities.

    Parameters
    ----------
    rpm : float
        Demand at the origin in requests per minute, measured before any split.
    rpm_max : float
        Requests per minute that the origin serves well.
    home : str
        Destination that serves the origin itself.
    peers : mapping of str to float
        Capacity in requests per minute by destination; only their ratio matters.
    total : int
        What the weights sum to.

    Raises
    ------
    SpilloverError
        If a number is out of range, or home is among the peers.
    """
    _check_rate("rpm", rpm, least=0)
    _check_rate("rpm_max", rpm_max)
    for name, capacity_rpm in peers.items():
        _check_rate(f"peers.{name}", capacity_rpm)
    if not peers:
        raise SpilloverError("peers must name at least one destination, got none")
    if home in peers:
        raise SpilloverError(f"peers must not name home, got {home!r}")
    sites = {home: Site(home, capacity_rps=rpm_max / 60, demand_rps=rpm / 60)}
    sites |= {name: Site(name, capacity_rps=capacity_rpm / 60) for name, capacity_rpm in peers.items()}
    snapshot = Snapshot(sites, tuple(Link(home, name) for name in peers))
    decision, _ = policies.get("paper")(snapshot, None, total=total)
    return dict.fromkeys(sites, 0) | dict(decision.weights[home]), decision.reasons[home]


def _check_rate(name: str, value: object, *, least: float | None = None) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not math.isfinite(number) or (number <= 0 if least is None else number < least):
        limit = "above 0" if least is None else f"{least:g} or more"
        raise SpilloverError(f"{name} must be a number {limit}, got {value!r}")
