"""Integer weights for many origins at once: what ``spillover.weights.to_integers`` does for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spillover.weights import NOISE, check_total

if TYPE_CHECKING:
    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Floats, Ints

_ABOVE = 1.0 + 1e-9


def to_units(layout: Layout, fraction: Floats, total: int) -> Ints:
    """Round each origin's fractions by the largest remainder; ties go home, then to the lower rtt, then by name.

    Parameters
    ----------
    layout : Layout
        Its edges are already in the order of ties.
    fraction : array
        By edge; each origin's are divided by their sum, and an origin without any keeps all at home.
    total : int
        What each origin's units sum to.

    Returns
    -------
    array of int
        Units by edge.
    """
    check_total(total)
    served = layout.by_origin(fraction)
    shares = fraction.copy()
    idle = served <= 0.0
    shares[: layout.size][idle] = 1.0
    served[idle] = 1.0
    exact = shares / served[layout.origin] * total
    units = np.floor(exact + NOISE).astype(np.int64)
    remainder = np.rint((exact - units) / NOISE)
    left = total - np.rint(layout.by_origin(units.astype(float))).astype(np.int64)
    # Stable: edges of an origin stay in the order of ties among equal remainders.
    order = np.lexsort((np.arange(len(units)), -remainder, layout.origin))
    sorted_origin = layout.origin[order]
    first = np.searchsorted(sorted_origin, np.arange(layout.size))
    rank = np.arange(len(units)) - first[sorted_origin]
    units[order[rank < left[sorted_origin]]] += 1
    return units


def fit(layout: Layout, units: Ints, served: Floats, *, limit: Floats, total: int) -> Ints:
    """Move single units away from sites that rounding has lifted above their limit, where another site has room.

    Parameters
    ----------
    layout : Layout
        The snapshot.
    units : array of int
        Weights by edge.
    served : array
        Requests per second by origin that the units divide.
    limit : array
        The most load of each site.
    total : int
        What each origin's units sum to.

    Returns
    -------
    array of int
        Units by edge, with the same sums by origin.
    """
    size = served / total
    load = layout.by_destination(units * size[layout.origin])
    move = _Moves(layout, units.copy(), load, size, limit)
    for site in _mendable(move):
        move.away_from(site)
    return move.units


def _mendable(move: _Moves) -> list[int]:
    """Return the sites above their limit that have a guest or an origin with another place to go."""
    layout = move.layout
    over = move.load > move.limit * _ABOVE
    if not over.any():
        return []
    roomy = (move.limit - move.load)[layout.destination] >= move.size[layout.origin]
    can_move = np.bincount(layout.origin[roomy], minlength=layout.size) > 0
    source = over[layout.destination] & (move.units > 0) & can_move[layout.origin]
    return np.unique(layout.destination[source]).tolist()  # type: ignore[no-any-return]


@dataclass(slots=True)
class _Moves:
    """Units by edge and the loads that follow from them, changed unit by unit."""

    layout: Layout
    units: Ints
    load: Floats
    size: Floats
    limit: Floats

    def away_from(self, site: int) -> None:
        """Move units away until the site fits or no other site has room, the smallest units first."""
        edges = np.flatnonzero((self.layout.destination == site) & (self.units > 0))
        sizes = self.size[self.layout.origin[edges]]
        for edge in edges[np.argsort(sizes, kind="stable")].tolist():
            self._empty(edge)

    def _empty(self, edge: int) -> None:
        origin, site = int(self.layout.origin[edge]), int(self.layout.destination[edge])
        unit = float(self.size[origin])
        others = np.flatnonzero(self.layout.origin == origin)
        others = others[(others != edge) & (self.limit[self.layout.destination[others]] > 0.0)]
        while self.units[edge] > 0 and self.load[site] > self.limit[site] * _ABOVE and len(others):
            room = (self.limit - self.load)[self.layout.destination[others]]
            if room.max() < unit:
                return
            other = int(others[room.argmax()])
            self.units[edge] -= 1
            self.units[other] += 1
            self.load[site] -= unit
            self.load[self.layout.destination[other]] += unit
