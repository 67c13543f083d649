"""The static optimum: the split with the least mean latency, by cutting planes over HiGHS linear programs.

    min  sum_ij x_ij (d_ij + beta e_ij) + sum_j L_j(y_j),   y_j = sum_i x_ij,
    sum_j x_ij + sum_k s_ik = lambda_i,   0 <= y_j <= U_j,   x, s >= 0,   s_ik <= lambda_ik

First the least that must be shed, class by class, the most important first; then, at that, the least cost. ``L_j`` is
convex, so its tangents lie below it: the linear program over the tangents gives a lower bound, the true cost of its
solution an upper bound, and a tangent at each solution closes the gap (Kelley 1960). The gap is certified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array, vstack

from spillover.model import SpilloverError
from spillover.optimum.linear import minimise
from spillover.optimum.queues import Floats, number_and_slope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.model import Snapshot

_FIRST_CUTS = (0.0, 0.3, 0.5, 0.65, 0.75, 0.83, 0.89, 0.93, 0.96, 0.98, 1.0)
_MOST_ROUNDS = 200
_NEAR_SATURATION = 1.0 - 1e-5


@dataclass(frozen=True, slots=True)
class Optimum:
    """The optimal flows of a snapshot.

    Parameters
    ----------
    flow_rps : mapping of origin to mapping of destination to float
        Requests per second.
    shed_rps : mapping of origin to float
        Requests per second that no site can take.
    mean_ms : float or None
        Mean latency of what is served, without cost; None when nothing is, or a site is at saturation.
    gap : float
        Certified distance of the cost from its lower bound, relative.
    """

    flow_rps: Mapping[str, Mapping[str, float]]
    shed_rps: Mapping[str, float]
    mean_ms: float | None
    gap: float


def solve(snapshot: Snapshot, *, tolerance: float = 1e-5) -> Optimum:
    """Solve for the optimal flows.

    Parameters
    ----------
    snapshot : Snapshot
        Queues and ages are not looked at: the optimum is that of a steady state.
    tolerance : float
        Relative gap to stop at.

    Raises
    ------
    SpilloverError
        If the linear programs do not converge.
    """
    program = _Program.of(snapshot)
    shed_limit = program.least_shed()
    flow, shed, gap = program.least_cost(shed_limit, tolerance)
    return program.optimum(flow, shed, gap)


@dataclass(frozen=True, slots=True)
class _Program:
    snapshot: Snapshot
    names: list[str]
    origin: np.ndarray  # by edge
    peer: np.ndarray
    rtt_s: Floats
    price_s: Floats
    shed_origin: np.ndarray  # by (origin, class) with demand
    shed_class: np.ndarray
    shed_most: Floats
    demand: Floats  # by site
    usable: Floats
    servers: Floats
    server_rps: Floats

    @property
    def unit_s(self) -> float:
        """Mean service time: the programs are scaled by it, so that HiGHS's absolute tolerances fit."""
        return float((1.0 / self.server_rps).mean())

    @classmethod
    def of(cls, snapshot: Snapshot) -> _Program:
        names = list(snapshot.sites)
        place = {name: index for index, name in enumerate(names)}
        sites = list(snapshot.sites.values())
        beta = snapshot.settings.cost_weight_ms
        edges = [(place[name], place[name], 0.0, 0.0) for name in names]
        edges += [
            (place[k.origin], place[k.peer], k.rtt_ms / 1e3, (k.rtt_ms + beta * k.cost) / 1e3) for k in snapshot.links
        ]
        rank = {name: index for index, name in enumerate(snapshot.settings.classes)}
        last = max(len(rank) - 1, 0)
        sheds = [
            (place[site.name], rank.get(kind, last), rate)
            for site in sites
            for kind, rate in (
                site.demand_rps.items() if not isinstance(site.demand_rps, int | float) else [("", site.demand_rps)]
            )
        ]
        return cls(
            snapshot=snapshot,
            names=names,
            origin=np.array([edge[0] for edge in edges]),
            peer=np.array([edge[1] for edge in edges]),
            rtt_s=np.array([edge[2] for edge in edges]),
            price_s=np.array([edge[3] for edge in edges]),
            shed_origin=np.array([shed[0] for shed in sheds]),
            shed_class=np.array([shed[1] for shed in sheds]),
            shed_most=np.array([shed[2] for shed in sheds], dtype=float),
            demand=np.array([site.demand_total_rps for site in sites], dtype=float),
            usable=np.array([site.usable_rps(snapshot.settings.max_utilisation) for site in sites]),
            servers=np.array([site.servers for site in sites], dtype=float),
            server_rps=np.array([site.server_rps for site in sites]),
        )

    def _balance(self, extra: int) -> csr_array:
        """Rows sum_j x_ij + sum_k s_ik = lambda_i, over columns (x, s, extra)."""
        rows = np.concatenate((self.origin, self.shed_origin))
        shape = (len(self.names), len(rows) + extra)
        return csr_array(coo_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=shape))

    def _loads(self, extra: int) -> csr_array:
        """Rows y_j = sum_i x_ij, over columns (x, s, extra)."""
        width = len(self.origin) + len(self.shed_origin) + extra
        return csr_array(
            coo_array((np.ones(len(self.peer)), (self.peer, np.arange(len(self.peer)))), shape=(len(self.names), width))
        )

    def least_shed(self) -> dict[int, float]:
        """Return for each class, the most important first, the least total that must be shed."""
        limits: dict[int, float] = {}
        for kind in sorted(set(self.shed_class.tolist())):
            cost = np.concatenate((np.zeros(len(self.origin)), (self.shed_class == kind).astype(float)))
            result = self._run(cost, self._loads(0), self.usable, limits, extra=0)
            limits[kind] = max(float(cost @ result), 0.0)
        return limits

    def _run(
        self, cost: Floats, upper: csr_array, upper_rhs: Floats, limits: Mapping[int, float], *, extra: int
    ) -> Floats:
        scale = max(float(self.demand.max()), 1e-9)
        rows, rhs = [upper], [upper_rhs]
        for kind, limit in limits.items():
            mask = np.concatenate((np.zeros(len(self.origin)), self.shed_class == kind, np.zeros(extra)))
            rows.append(csr_array(mask[None, :].astype(float)))
            rhs.append(np.array([limit + 1e-9 * scale]))
        bounds = np.zeros((len(cost), 2))
        bounds[:, 1] = np.inf
        bounds[len(self.origin) : len(self.origin) + len(self.shed_most), 1] = self.shed_most / scale
        solution = minimise(
            cost,
            upper=csr_array(vstack(rows)),
            upper_rhs=np.concatenate(rhs) / scale,
            equal=self._balance(extra),
            equal_rhs=self.demand / scale,
            bounds=bounds,
        )
        if solution.problem:
            raise SpilloverError(f"the optimum's linear program ended with: {solution.problem}")
        return solution.point * scale

    def least_cost(self, limits: Mapping[int, float], tolerance: float) -> tuple[Floats, Floats, float]:
        """Add tangents until the true cost is within ``tolerance`` of the bound; return flow, shed and gap."""
        edges, size = len(self.origin), len(self.names)
        highest = np.minimum(self.usable, _NEAR_SATURATION * self.servers * self.server_rps)
        cuts = [self._tangents(share * highest) for share in _FIRST_CUTS]
        best, best_cost, bound, gap = np.zeros(edges + len(self.shed_most)), np.inf, 0.0, np.inf
        cost = np.concatenate((self.price_s / self.unit_s, np.zeros(len(self.shed_most)), np.ones(size)))
        for _ in range(_MOST_ROUNDS):
            upper = vstack([self._loads(size), *(cut for cut, _ in cuts)])
            rhs = np.concatenate([self.usable, *(right for _, right in cuts)])
            point = self._run(cost, upper, rhs, limits, extra=size)
            bound = max(bound, float(cost @ point) * self.unit_s)
            load = np.minimum(np.bincount(self.peer, point[:edges], minlength=size).astype(float), highest)
            true_cost = float(self.price_s @ point[:edges]) + float(self._number(load).sum())
            if true_cost < best_cost:
                best, best_cost = point[: edges + len(self.shed_most)], true_cost
            gap = (best_cost - bound) / best_cost if best_cost > 0.0 else 0.0
            if gap <= tolerance:
                break
            cuts.append(self._tangents(load))
        else:
            raise SpilloverError(f"the optimum's cutting planes left a gap of {gap:.2g}")
        return best[:edges], best[edges:], max(gap, 0.0)

    def _number(self, load: Floats) -> Floats:
        number, _ = number_and_slope(load, self.servers, self.server_rps)
        return np.where(load > 0.0, number, 0.0)

    def _tangents(self, at: Floats) -> tuple[csr_array, Floats]:
        """Return rows ``slope_j y_j - L_j <= slope_j a_j - L_j(a_j)``, scaled by the unit of time."""
        size, edges = len(self.names), len(self.origin)
        _, slope = number_and_slope(at, self.servers, self.server_rps)
        width = edges + len(self.shed_most) + size
        rows = np.concatenate((self.peer, np.arange(size)))
        columns = np.concatenate((np.arange(edges), np.arange(width - size, width)))
        values = np.concatenate((slope[self.peer] / self.unit_s, -np.ones(size)))
        left = csr_array(coo_array((values, (rows, columns)), shape=(size, width)))
        return left, (slope * at - self._number(at)) / self.unit_s

    def optimum(self, flow: Floats, shed: Floats, gap: float) -> Optimum:
        size = len(self.names)
        load = np.bincount(self.peer, flow, minlength=size).astype(float)
        # What is shed within the programs' tolerance is not shed at all.
        shed = np.where(shed > 1e-7 * self.demand[self.shed_origin], shed, 0.0)
        busy, served = load > 0.0, float(load.sum())
        saturated = bool((load >= _NEAR_SATURATION * self.servers * self.server_rps)[busy].any())
        mean = None
        if served > 0.0 and not saturated:
            mean = 1e3 * (float(flow @ self.rtt_s) + float(self._number(load).sum())) / served
        flows: dict[str, dict[str, float]] = {name: {} for name in self.names}
        for origin, peer, rate in zip(self.origin.tolist(), self.peer.tolist(), flow.tolist(), strict=True):
            if rate > 0.0:
                flows[self.names[origin]][self.names[peer]] = rate
        sheds = np.bincount(self.shed_origin, shed, minlength=size)
        return Optimum(flows, dict(zip(self.names, sheds.tolist(), strict=True)), mean, gap)
