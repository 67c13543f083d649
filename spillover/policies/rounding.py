"""Integer weights for many origins at once: what ``spillover.weights.to_integers`` does for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spillover.weights import NOISE, check_total

if TYPE_CHECKING:
    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Floats, Ints


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
