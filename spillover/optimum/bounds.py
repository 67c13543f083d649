"""What no policy can beat, whatever it knows: bounds on latency, goodput and spill."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, lil_array

from spillover.model import SpilloverError
from spillover.optimum.linear import minimise
from spillover.optimum.queues import number_and_slope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spillover.model import Site, Snapshot


def _limit_rps(site: Site) -> float:
    return site.saturation_rps if site.healthy else 0.0


def goodput_bound_rps(snapshot: Snapshot) -> float:
    """Return ``min(sum of demand, sum of c_j mu_j)``: no more can be served."""
    sites = snapshot.sites.values()
    return min(math.fsum(s.demand_total_rps for s in sites), math.fsum(_limit_rps(s) for s in sites))


def necessary_spill_rps(snapshot: Snapshot) -> float:
    """Return ``sum of [lambda_i - C_i]+``: if nothing is shed, at least this is spilled."""
    return math.fsum(max(s.demand_total_rps - _limit_rps(s), 0.0) for s in snapshot.sites.values())


def transport_bound_ms(snapshot: Snapshot) -> float | None:
    """Return the least mean of service plus transport, a linear program with ``y_j <= c_j mu_j`` and no waiting.

    None without demand, or if the demand cannot be served.
    """
    names = list(snapshot.sites)
    place = {name: index for index, name in enumerate(names)}
    sites = list(snapshot.sites.values())
    edges = [(index, index, 0.0) for index in range(len(names))]
    edges += [(place[link.origin], place[link.peer], link.rtt_ms) for link in snapshot.links]
    demand = np.array([site.demand_total_rps for site in sites])
    limit = np.array([_limit_rps(site) for site in sites])
    if demand.sum() <= 0.0:
        return None
    out, into = lil_array((len(names), len(edges))), lil_array((len(names), len(edges)))
    for column, (origin, peer, _) in enumerate(edges):
        out[origin, column] = 1.0
        into[peer, column] = 1.0
    cost = np.array([rtt + sites[peer].mean_service_ms for _, peer, rtt in edges])
    scale = float(demand.max())
    result = minimise(
        cost / cost.max(),
        upper=csr_array(into),
        upper_rhs=limit / scale,
        equal=csr_array(out),
        equal_rhs=demand / scale,
    )
    return None if result.problem else float(result.value * cost.max() * scale / demand.sum())


def pooling_bound_ms(snapshot: Snapshot) -> float | None:
    """Return the mean of one M/M/c queue with all servers of all living sites and no distance between them.

    Every server is taken to be as fast as the fastest, so that the bound holds for unequal sites too (and is tight only
    for equal ones). None without demand, or if even that queue could not serve it.
    """
    living = [site for site in snapshot.sites.values() if site.healthy]
    demand = math.fsum(site.demand_total_rps for site in snapshot.sites.values())
    servers = float(sum(site.servers for site in living))
    rate = max((site.server_rps for site in living), default=0.0)
    if demand <= 0.0 or demand >= servers * rate:
        return None
    number, _ = number_and_slope(np.array([demand]), np.array([servers]), np.array([rate]))
    return 1000.0 * float(number[0]) / demand


def lower_bound_ms(snapshot: Snapshot) -> float | None:
    """Return the larger of the transport and the pooling bound, None if the demand cannot be served."""
    transport, pooling = transport_bound_ms(snapshot), pooling_bound_ms(snapshot)
    if transport is None:
        return None
    return transport if pooling is None else max(transport, pooling)


def fluid_oracle_ms(
    snapshot: Snapshot, arrivals: Mapping[str, Sequence[tuple[float, float]]], duration_s: float, *, slots: int = 200
) -> float | None:
    """Return the mean delay of the fluid oracle, which knows the arrivals of the whole future.

    ``min int sum_j q_j dt + sum_ij x_ij d_ij`` with ``dq_j/dt = sum_i x_ij - u_j``, ``0 <= u_j <= c_j mu_j`` and
    ``q >= 0``, the queues empty at first and followed to the end of the arrivals, divided by the arrivals. The service
    time itself is not in it. Queues are counted at the end of each slot, so the error is of the order of a slot.

    Parameters
    ----------
    snapshot : Snapshot
        Sites and links; its demand is not looked at.
    arrivals : mapping of origin to sequence of (from_s, rps)
        Piecewise constant rates; origins without an entry have none.
    duration_s : float
        Until when requests arrive, above 0.
    slots : int
        Number of slots of equal length.

    Raises
    ------
    SpilloverError
        If an origin is unknown or the duration is not above 0.
    """
    names = list(snapshot.sites)
    for origin in arrivals:
        if origin not in snapshot.sites:
            raise SpilloverError(f"arrivals.{origin} must name a known site, got {origin!r}")
    if not duration_s > 0.0 or slots < 1:
        raise SpilloverError(f"duration_s and slots must be above 0, got {duration_s!r} and {slots!r}")
    step = duration_s / slots
    demand = np.array([[_arrived(arrivals.get(name, ()), t * step, step) for name in names] for t in range(slots)])
    if demand.sum() <= 0.0:
        return None
    cost, equal, right, bounds = _fluid_program(snapshot, demand, step)
    result = minimise(cost, equal=equal, equal_rhs=right, bounds=bounds)
    if result.problem:
        raise SpilloverError(f"the fluid oracle's linear program ended with: {result.problem}")
    return 1000.0 * result.value / float(demand.sum())


def _arrived(steps: Sequence[tuple[float, float]], start: float, length: float) -> float:
    """Return how many requests arrive in [start, start + length)."""
    total = 0.0
    for index, (begin, rate) in enumerate(steps):
        end = steps[index + 1][0] if index + 1 < len(steps) else math.inf
        total += rate * max(min(end, start + length) - max(begin, start), 0.0)
    return total


def _fluid_program(
    snapshot: Snapshot, demand: np.ndarray, step: float
) -> tuple[np.ndarray, csr_array, np.ndarray, np.ndarray]:
    """Return cost, equalities, right side and bounds over columns x by edge, work u, queue at the end, slot by slot."""
    names = list(snapshot.sites)
    place = {name: index for index, name in enumerate(names)}
    sites = list(snapshot.sites.values())
    edges = [(index, index, 0.0) for index in range(len(names))]
    edges += [(place[link.origin], place[link.peer], link.rtt_ms / 1000.0) for link in snapshot.links]
    slots, size, width = len(demand), len(names), len(edges) + 2 * len(names)
    limit = np.array([_limit_rps(site) for site in sites])
    equal = lil_array((2 * size * slots, width * slots))
    cost, bounds = np.zeros(width * slots), np.zeros((width * slots, 2))
    bounds[:, 1] = np.inf
    for slot in range(slots):
        row, column = 2 * size * slot, width * slot
        work, queue = column + len(edges), column + len(edges) + size
        for index, (origin, peer, rtt) in enumerate(edges):
            equal[row + origin, column + index] = 1.0
            equal[row + size + peer, column + index] = 1.0
            cost[column + index] = rtt
        for site in range(size):
            equal[row + size + site, work + site] = -1.0
            equal[row + size + site, queue + site] = -1.0
            if slot > 0:
                equal[row + size + site, queue + site - width] = 1.0
            bounds[work + site, 1] = limit[site] * step
            cost[queue + site] = step
            if limit[site] == 0.0:
                bounds[queue + site, 1] = 0.0
    right = np.zeros((slots, 2 * size))
    right[:, :size] = demand
    return cost, csr_array(equal), right.ravel(), bounds
