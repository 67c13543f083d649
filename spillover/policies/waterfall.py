"""``waterfall``: fill home to its capacity, then the nearest peer with headroom, then the next.

The comparator of SLATE (HotNets 2024) and the idea of GKE's WATERFALL_BY_REGION: one fixed limit for each site, no
thought of what waiting there costs. Links are served in the order of their round trip; what finds no headroom anywhere
stays at home.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.assemble import usable_links
from spillover.policies.layout import Layout
from spillover.policies.memory import recall
from spillover.policies.rival import finish

if TYPE_CHECKING:
    from spillover.model import Decision, Snapshot
    from spillover.policies import State
    from spillover.policies.queueing import Floats

NAME = "waterfall"


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Fill home first, then the nearest peers (see ``spillover.policies.Policy``)."""
    memory = recall(NAME, state)
    layout = Layout.of(snapshot)
    flow, surplus = fill(layout)
    demand = np.where(layout.demand > 0.0, layout.demand, 1.0)
    fraction = np.where(layout.demand[layout.origin] > 0.0, flow / demand[layout.origin], layout.at_home())
    why = [_why(full, living) for full, living in zip((surplus > 0.0).tolist(), layout.healthy.tolist(), strict=True)]
    return finish(NAME, layout, memory, fraction, why=why, total=total)


def fill(layout: Layout) -> tuple[Floats, Floats]:
    """Return the flows by edge, and by origin what found no headroom: it stays at home, or spreads if home is dead."""
    limit = np.where(layout.healthy, np.minimum(layout.capacity, layout.saturation), 0.0)
    flow = np.zeros(len(layout.origin))
    flow[: layout.size] = np.minimum(layout.demand, limit)
    surplus, headroom = layout.demand - flow[: layout.size], limit - flow[: layout.size]
    links = usable_links(layout)
    spilling = np.flatnonzero(links & (surplus[layout.origin] > 0.0))
    for edge in spilling[np.argsort(layout.rtt[spilling], kind="stable")].tolist():
        origin, peer = int(layout.origin[edge]), int(layout.destination[edge])
        moved = min(surplus[origin], headroom[peer])
        flow[edge] += moved
        surplus[origin] -= moved
        headroom[peer] -= moved
    surplus = np.maximum(surplus, 0.0)
    room = np.where(links, layout.capacity[layout.destination], 0.0)
    room[: layout.size] = np.where(layout.healthy, layout.capacity, 0.0)
    room = np.where(layout.healthy[layout.origin] & (layout.origin != layout.destination), 0.0, room)
    whole = layout.by_origin(room)
    stranded = whole <= 0.0
    room[: layout.size][stranded] = 1.0
    whole[stranded] = 1.0
    return flow + room * (surplus / whole)[layout.origin], surplus


def _why(full: bool, living: bool) -> str:
    if full:
        return "home and every linked peer are full"
    return "home is filled first, then the nearest peer" if living else "home is dead, the nearest peers are filled"
