"""Integer weights for many origins at once: what ``spillover.weights.to_integers`` does for one."""

from __future__ import annotations

from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

import numpy as np

from spillover.weights import NOISE, check_total

if TYPE_CHECKING:
    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Floats, Ints

_ABOVE = 1.0 + 1e-9
_MOST_MENDED = 1000
"""Sites that are mended one by one, the fullest first: beyond that many it would take too long."""


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
    """Move single units away from sites that rounding has lifted above their limit.

    A unit moves where the site that gets it stays within its limit, or is at least filled less above it than the one
    that gives it: when all sites are full, no whole units fit them all.

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
    over = np.flatnonzero(load > limit * _ABOVE)
    if not len(over):
        return units
    move = _Moves(layout, units, load, size, limit)
    worst = np.argsort(-load[over] / np.maximum(limit[over], 1e-300), kind="stable")
    for site in over[worst[:_MOST_MENDED]].tolist():
        move.away_from(site)
    return np.array(move.units, dtype=np.int64)


class _Moves:
    """Units by edge and the loads that follow from them, changed unit by unit: lists, for numbers one by one."""

    def __init__(self, layout: Layout, units: Ints, load: Floats, size: Floats, limit: Floats) -> None:
        self.units, self.load, self.limit = units.tolist(), load.tolist(), limit.tolist()
        self.origin, self.destination = layout.origin.tolist(), layout.destination.tolist()
        self.size = size.tolist()
        # By site, the smallest units first. Those of an origin without demand weigh nothing: moving them helps no site.
        filled = np.flatnonzero((units > 0) & (size[layout.origin] > 0.0))
        into = filled[np.lexsort((filled, size[layout.origin[filled]], layout.destination[filled]))]
        self.into = into.tolist()
        self.into_ends = np.searchsorted(layout.destination[into], np.arange(layout.size + 1)).tolist()
        ends = np.searchsorted(layout.origin[layout.size :], np.arange(layout.size + 1))
        self.out_ends = (layout.size + ends).tolist()
        self.choices: dict[int, list[tuple[int, int, float]]] = {}

    def away_from(self, site: int) -> None:
        """Move units away until the site fits or no move is of use, the smallest units first."""
        load, all_units, here, limit_here = self.load, self.units, self.load[site], self.limit[site]
        enough, most = limit_here * _ABOVE, max(limit_here, 1e-300)
        for edge in self.into[self.into_ends[site] : self.into_ends[site + 1]]:
            if here <= enough:
                break
            origin, units = self.origin[edge], all_units[edge]
            unit = self.size[origin]
            choices = self.choices.get(origin) or self._choices(origin)
            # How full each destination would be with one unit more, the least full first: only its moves change that.
            places = [
                ((load[to] + unit) / its_limit, other, to, its_limit)
                for other, to, its_limit in choices
                if other != edge
            ]
            heapify(places)
            while places and units > 0 and here > enough:
                filled, other, to, its_limit = places[0]
                if filled > 1.0 and filled >= here / most:
                    break
                units -= 1
                all_units[other] += 1
                here -= unit
                load[to] += unit
                heapreplace(places, ((load[to] + unit) / its_limit, other, to, its_limit))
            all_units[edge] = units
        load[site] = here

    def _choices(self, origin: int) -> list[tuple[int, int, float]]:
        """Return edge, destination and limit of all that an origin may send to, home included."""
        edges = [origin, *range(self.out_ends[origin], self.out_ends[origin + 1])]
        # Never a place without a limit, which is filled by anything.
        choices = [(edge, to, self.limit[to]) for edge in edges if self.limit[to := self.destination[edge]] > 0.0]
        self.choices[origin] = choices
        return choices
