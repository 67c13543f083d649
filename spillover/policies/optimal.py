"""From a layout and its limits to the optimal flows: the flow problem, its solution, and a clean-up of the solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spillover.policies import flow as flows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Bools, Floats, Ints

FAINT = 1e-5
"""A flow below this share of its origin's demand is what the interior point has left of a zero."""

_INSIDE = 1.0 - 1e-9
_LITTLE = 1e-4
"""Up to this share of a demand goes where the rest goes: spread over every link it would only blur the split."""

_ROUNDING = 1e-12
"""A share of a demand that small is no flow to be placed, but what sums in double precision leave."""

_FITTING_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Best:
    """Optimal flows by edge, what is shed by part and by origin, and the marginal seconds by site."""

    flow: Floats
    shed: Floats
    parts: Parts
    part_shed: Floats
    price: Floats


@dataclass(frozen=True, slots=True)
class Parts:
    """The demand that may be shed, in parts by origin and class; rank 0 is the least important."""

    origin: Ints
    rank: Ints
    most: Floats

    @classmethod
    def of(cls, layout: Layout) -> Parts:
        """Return one part for each class of each origin; demand without a class counts as the least important."""
        rank = {name: place for place, name in enumerate(reversed(layout.snapshot.settings.classes))}
        if not rank:
            size = np.arange(layout.size)
            return cls(size, np.zeros(layout.size, dtype=np.int64), layout.demand)
        rows: list[tuple[int, int, float]] = []
        for index, site in enumerate(layout.snapshot.sites.values()):
            demand = site.demand_rps
            if isinstance(demand, int | float):
                rows.append((index, 0, demand))
            else:
                rows.extend((index, rank[name], rate) for name, rate in demand.items())
        return cls(
            np.array([row[0] for row in rows], dtype=np.int64),
            np.array([row[1] for row in rows], dtype=np.int64),
            np.array([row[2] for row in rows], dtype=float),
        )

    def by_class(self, layout: Layout, shed: Floats) -> Mapping[str, Mapping[str, float]]:
        """Return what is shed by origin and class, for the origins whose demand has classes."""
        classes = layout.snapshot.settings.classes
        result: dict[str, dict[str, float]] = {}
        if not classes:
            return result
        sites = list(layout.snapshot.sites.values())
        for origin, rank, rate in zip(self.origin.tolist(), self.rank.tolist(), shed.tolist(), strict=True):
            if not isinstance(sites[origin].demand_rps, int | float):
                result.setdefault(layout.names[origin], {})[classes[len(classes) - 1 - rank]] = rate
        return result


def best_flow(layout: Layout, limit: Floats, fixed: Floats, backlog: Floats) -> Best:
    """Return the flows with the least total latency and cost, after the least shedding.

    Parameters
    ----------
    layout : Layout
        The snapshot.
    limit : array
        The most load of each site, fixed flows included.
    fixed : array
        Flows by edge that are not to be changed; their origins are left out of the problem.
    backlog : array
        Load by site that stands for a queue to be drained.
    """
    parts = Parts.of(layout)
    taken = layout.by_destination(fixed)
    room = np.maximum(limit - taken, 0.0)
    open_ = (layout.demand > 0.0) & (layout.by_origin(fixed) <= 0.0)
    edges = np.flatnonzero((room > 1e-9 * layout.saturation)[layout.destination] & open_[layout.origin])
    price = layout.marginal(taken + backlog).slope
    flow, part_shed = fixed.copy(), np.where(open_[parts.origin], parts.most, 0.0)
    if len(edges):
        edges = edges[np.argsort(layout.origin[edges], kind="stable")]
        rows, row = np.unique(layout.origin[edges], return_inverse=True)
        columns, column = np.unique(layout.destination[edges], return_inverse=True)
        place = np.full(layout.size, -1)
        place[rows] = np.arange(len(rows))
        which = np.flatnonzero((place[parts.origin] >= 0) & (parts.most > 0.0))
        problem = flows.Problem(
            row=row,
            column=column,
            price=layout.price[edges],
            demand=layout.demand[rows],
            servers=layout.servers[columns],
            server_rps=layout.server_rps[columns],
            room=room[columns] * _INSIDE,
            base=(taken + backlog)[columns],
            shed_row=place[parts.origin[which]],
            shed_rank=parts.rank[which],
            shed_most=parts.most[which],
        )
        solution = flows.solve(problem)
        flow[edges], part_shed[which] = clean(problem, solution)
        price[columns] = solution.price
    shed = np.bincount(parts.origin, part_shed, minlength=layout.size).astype(float)
    return Best(flow, shed, parts, part_shed, price)


def clean(problem: flows.Problem, solution: flows.Flow) -> tuple[Floats, Floats]:
    """Turn an interior point into a solution with real zeros that fits each row and each column.

    Returns
    -------
    tuple of arrays
        Flow by edge, and what is shed by part.
    """
    demand = problem.demand
    faint = 0.1 * FAINT * demand[problem.shed_row]
    shed = np.where(solution.shed > faint, solution.shed, 0.0)
    shed_row = np.bincount(problem.shed_row, shed, minlength=len(demand))
    wanted = np.maximum(demand - shed_row, 0.0)
    largest = np.maximum.reduceat(solution.flow, np.searchsorted(problem.row, np.arange(len(demand))))
    used = (solution.flow > FAINT * demand[problem.row]) | (solution.flow >= largest[problem.row])
    anywhere = np.ones_like(used)
    flow = _scaled(problem, np.where(used, solution.flow, 0.0), wanted)
    for _ in range(_FITTING_ROUNDS):
        load = np.bincount(problem.column, flow, minlength=len(problem.room))
        flow *= np.minimum(1.0, problem.room / np.maximum(load, 1e-300))[problem.column]
        flow += _into_room(problem, flow, wanted, anywhere)
    # The solver may have shed too much: there may be room for it.
    for again in range(_FITTING_ROUNDS):
        # The last time anywhere: what found no room where the rest goes would be shed.
        flow += _into_room(problem, flow, demand, used if again < _FITTING_ROUNDS - 1 else anywhere)
        load = np.bincount(problem.column, flow, minlength=len(problem.room))
        flow *= np.minimum(1.0, problem.room / np.maximum(load, 1e-300))[problem.column]
    placed = np.bincount(problem.row, flow, minlength=len(demand))
    left = np.maximum(demand - placed, 0.0)
    # What has no room is shed, but for a rounding error.
    error = left <= np.where(shed_row > 0.0, 0.1, 1.0) * FAINT * placed
    flow = np.where(error[problem.row], _scaled(problem, flow, demand), flow)
    return flow, _shed(problem, np.where(error, 0.0, left))


def _scaled(problem: flows.Problem, flow: Floats, wanted: Floats) -> Floats:
    """Scale each row's flows to the sum that is wanted."""
    placed = np.bincount(problem.row, flow, minlength=len(wanted))
    return flow * (wanted / np.maximum(placed, 1e-300))[problem.row]


def _into_room(problem: flows.Problem, flow: Floats, wanted: Floats, among: Bools) -> Floats:
    """Spread what each row has not placed over its columns' room, in proportion; a little only among some edges."""
    left = wanted - np.bincount(problem.row, flow, minlength=len(wanted))
    left[left <= _ROUNDING * wanted] = 0.0
    if not left.any():
        return np.zeros_like(flow)
    load = np.bincount(problem.column, flow, minlength=len(problem.room))
    room = np.maximum(problem.room - load, 0.0)[problem.column]
    room *= among | (left > _LITTLE * wanted)[problem.row]
    whole = np.bincount(problem.row, room, minlength=len(wanted))
    return room * (np.minimum(left, whole) / np.maximum(whole, 1e-300))[problem.row]


def _shed(problem: flows.Problem, left: Floats) -> Floats:
    """Return by part what is shed where so much is left of each row, the least important part first."""
    shed = np.zeros_like(problem.shed_most)
    for rank in np.unique(problem.shed_rank) if left.any() else ():
        part = problem.shed_rank == rank
        extra = np.minimum(left[problem.shed_row], problem.shed_most) * part
        shed += extra
        left = left - np.bincount(problem.shed_row, extra, minlength=len(left))
    return shed
