"""What a site may take now, beyond its usable capacity: missing samples, returning sites, backlogs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.model import MISSING_PERIODS, SpilloverError
from spillover.policies.memory import last_split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Bools, Floats

DRAIN_PERIODS = 10.0
"""A backlog is to be gone in this many periods.

An integrator with dead time tau does not overshoot while its gain times tau is at most 1/e; the dead time is some three
periods (window, period, push), so the gain 1/10 per period is the largest round one that is safe.
"""

RETURN_S = 10.0
RETURN_STEPS = 5
"""A site that returns gets its share back over 10 s and in at least 5 steps."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the flow problem must respect.

    Parameters
    ----------
    limit : array
        The most load of each site, held flows included.
    fixed : array
        By edge: flows of origins whose sample is missing, which are held as they are.
    held : array of bool
        Which origins those are.
    backlog : array
        Load by site that stands for the work of draining its queue.
    returning : array
        Share of its capacity that each site has back, 1 for most.
    split, known : arrays
        The remembered split by edge, and which origins have one.
    """

    limit: Floats
    fixed: Floats
    held: Bools
    backlog: Floats
    returning: Floats
    split: Floats
    known: Bools


def limits(layout: Layout, memory: Mapping[str, Any]) -> Limits:
    """Work out the limits of this period from the snapshot and what is remembered."""
    split, known = last_split(layout, memory)
    before = numbers(layout, memory, "demand", layout.demand)
    fixed = np.where(layout.missing, before, 0.0)[layout.origin] * held_split(layout, split, known)
    limit = layout.usable.copy()
    if layout.missing.any():
        guests = split * np.where(layout.missing, 0.0, before)[layout.origin]
        guests[: layout.size] = 0.0
        as_before = layout.by_destination(fixed) + layout.by_destination(guests)
        limit = np.where(layout.missing, np.minimum(limit, as_before), limit)
    return Limits(
        limit=limit,
        fixed=fixed,
        held=layout.missing,
        backlog=backlog_rps(layout),
        returning=returning_share(layout, memory),
        split=split,
        known=known,
    )


def held_split(layout: Layout, split: Floats, known: Bools) -> Floats:
    """Return what an origin with a missing sample does: its last split, or home; later perhaps the static split."""
    result = np.where(known[layout.origin], split, layout.at_home())
    settings = layout.snapshot.settings
    if settings.on_missing == "static":
        ages = np.array([site.age_s for site in layout.snapshot.sites.values()])
        late = ages > 2 * MISSING_PERIODS * settings.period_s
        result = np.where(late[layout.origin], static_split(layout), result)
    return result


def static_split(layout: Layout) -> Floats:
    """Return fractions in proportion to the usable capacities of home and its living peers, home if all are dead."""
    return layout.shares(layout.usable[layout.destination])


def backlog_rps(layout: Layout) -> Floats:
    """Return the load that drains what waits beyond the number that waits anyway at this demand."""
    normal = np.minimum(layout.demand, layout.usable)
    waiting = layout.marginal(normal).number - normal / layout.server_rps
    surplus = np.maximum(layout.queue - np.maximum(waiting, 0.0), 0.0)
    drain = surplus / (DRAIN_PERIODS * layout.snapshot.settings.period_s)
    return np.where(layout.missing | (layout.usable <= 0.0), 0.0, np.minimum(drain, layout.saturation))


def returning_share(layout: Layout, memory: Mapping[str, Any]) -> Floats:
    """Return the share of its capacity that each site has back after it was dead; 0 while it is."""
    before = numbers(layout, memory, "returning", np.ones(layout.size))
    step = min(1.0 / RETURN_STEPS, layout.snapshot.settings.period_s / RETURN_S)
    return np.where(layout.healthy, np.minimum(before + step, 1.0), 0.0)


def numbers(layout: Layout, memory: Mapping[str, Any], key: str, default: Floats) -> Floats:
    """Return remembered numbers by site, with a default for the sites that have none.

    Raises
    ------
    SpilloverError
        If what is remembered is not a mapping of finite numbers of at least 0.
    """
    values = memory.get(key, {})
    if not isinstance(values, dict):
        raise SpilloverError(f"state.{key} must be an object, got {values!r}")
    result = default.astype(float)
    place = {name: index for index, name in enumerate(layout.names)} if values else {}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e15:
            raise SpilloverError(f"state.{key}.{name} must be a number of at least 0, got {value!r}")
        if name in place:
            result[place[name]] = value
    return result


def remembered(layout: Layout, values: Floats, default: float) -> dict[str, float]:
    """Return what differs from the default, by name."""
    which = np.flatnonzero(values != default)
    return {layout.names[index]: value for index, value in zip(which.tolist(), values[which].tolist(), strict=True)}
