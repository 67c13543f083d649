"""Reasons in words, in one style for all policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Floats


def sentences(layout: Layout, fraction: Floats, why: Sequence[str]) -> list[str]:
    """Return for each origin what stays, what goes where at which round trip, and why.

    Parameters
    ----------
    layout : Layout
        The snapshot.
    fraction : array
        Share of the origin's demand, by edge.
    why : sequence of str
        By origin; empty for nothing to add.
    """
    demand = layout.demand.tolist()
    kept = (fraction[: layout.size] * layout.demand).tolist()
    parts: list[list[str]] = [[] for _ in layout.names]
    spilling = np.flatnonzero(fraction[layout.size :] > 0.0) + layout.size
    rates = (fraction * layout.demand[layout.origin])[spilling].tolist()
    trips = (layout.rtt[spilling] * 1000.0).tolist()
    origins, peers = layout.origin[spilling].tolist(), layout.destination[spilling].tolist()
    for origin, peer, rate, trip in zip(origins, peers, rates, trips, strict=True):
        parts[origin].append(f"{rate:.1f} to {layout.names[peer]} at +{trip:.3g} ms")
    texts = []
    for index, name in enumerate(layout.names):
        text = (
            f"{name} keeps {kept[index]:.1f} of {demand[index]:.1f} rps; " + "; ".join(parts[index])
            if parts[index]
            else f"{name} keeps all {demand[index]:.1f} rps"
        )
        texts.append(f"{text}: {why[index]}" if why[index] else text)
    return texts
