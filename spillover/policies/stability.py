"""Dead band and asymmetric stabilisation: noise writes nothing, overload acts at once, relief waits.

An origin keeps its last split
- while a better one would lower its latency by less than the dead band;
- while a better one would only bring work home, until that has been so for some periods in a row;
- while it has used up its writes of this minute.
It never keeps a split that sends to a dead peer, and one that overfills a site only if its writes are used up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.policies.limits import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Bools, Floats

DEAD_BAND = 0.02
"""Relative gain in latency below which a new split is not worth a write."""

CALM_PERIODS = 5
"""Periods in a row for which bringing work home must pay before it is done."""

WRITES_A_MINUTE = 6.0
_OVERFILLED = 1.0 + 1e-6


@dataclass(frozen=True, slots=True)
class Steady:
    """The split after stabilisation, by edge, which origins held, and what is to be remembered."""

    fraction: Floats
    held: Bools
    calm: Floats
    budget: Floats


@dataclass(frozen=True, slots=True)
class Splits:
    """The choice: new and old fractions by edge, and by origin whether there is an old one and whether it may stay."""

    new: Floats
    old: Floats
    known: Bools
    forced: Bools


def steady(layout: Layout, splits: Splits, *, limit: Floats, backlog: Floats, memory: Mapping[str, Any]) -> Steady:
    """Choose between the new and the old fractions, origin by origin.

    Parameters
    ----------
    layout : Layout
        The snapshot.
    splits : Splits
        What to choose from.
    limit : array
        The most load of each site.
    backlog : array
        Load by site that stands for what waits there: a split that was good without it may not be with it.
    memory : mapping
        The state; ``calm`` and ``budget`` are read.
    """
    new, old, known = splits.new, splits.old, splits.known
    demand = layout.demand[layout.origin]
    gain, cost = gains(layout, new * demand, old * demand, backlog)
    home = slice(0, layout.size)
    relief = new[home] > old[home]
    worth = gain > DEAD_BAND * cost
    calm = np.where(worth & relief, numbers(layout, memory, "calm", np.zeros(layout.size)) + 1.0, 0.0)
    refill = WRITES_A_MINUTE * layout.snapshot.settings.period_s / 60.0
    budget = numbers(layout, memory, "budget", np.full(layout.size, WRITES_A_MINUTE))
    budget = np.minimum(budget + refill, WRITES_A_MINUTE)
    spent = budget < 1.0
    held = known & ~splits.forced & (~worth | (relief & (calm < CALM_PERIODS)) | spent)
    held = _without_overfilling(layout, splits, held, spent, limit)
    fraction = np.where(held[layout.origin], old, new)
    changed = known & _differs(layout, fraction, old)
    return Steady(
        fraction=fraction,
        held=held,
        calm=np.where(held, calm, 0.0),
        budget=np.where(changed, np.maximum(budget - 1.0, 0.0), budget),
    )


def gains(layout: Layout, new: Floats, old: Floats, backlog: Floats) -> tuple[Floats, Floats]:
    """Return by origin what the new flows gain over the old ones, and what they cost, in requests.

    The gain is the difference of the flows times the mean of the marginal costs at both: the trapezium rule for the
    difference of the total cost, split by origin.
    """
    cut = np.clip(layout.usable / layout.saturation, 1e-6, 0.999)
    there = layout.marginal(layout.by_destination(new) + backlog, cut)
    before = layout.marginal(layout.by_destination(old) + backlog, cut)
    marginal = layout.price + 0.5 * (there.slope + before.slope)[layout.destination]
    mean = there.number / np.maximum(layout.by_destination(new) + backlog, 1e-300)
    gain = layout.by_origin((old - new) * marginal)
    return gain, layout.by_origin(new * (layout.price + mean[layout.destination]))


def _differs(layout: Layout, one: Floats, other: Floats) -> Bools:
    changed: Bools = layout.by_origin(np.abs(one - other)) > 1e-9
    return changed


def _without_overfilling(layout: Layout, splits: Splits, held: Bools, spent: Bools, limit: Floats) -> Bools:
    """Let go of the old split where old and new together overfill a site, unless the writes are used up."""
    demand = layout.demand[layout.origin]
    for _ in range(10):
        flow = np.where(held[layout.origin], splits.old, splits.new) * demand
        over = layout.by_destination(flow) > limit * _OVERFILLED
        into = over[layout.destination] & (flow > 0.0) & held[layout.origin]
        letting_go = np.bincount(layout.origin[into], minlength=layout.size).astype(bool) & ~spent
        if not letting_go.any():
            break
        held = held & ~letting_go
    return held
