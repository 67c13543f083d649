"""``band``: Buoyant's HAZL, which adds and removes remote endpoints to keep the load in a band.

The load is latency times requests per second, which is the number of requests in the system, per server of the sites in
use. Above 2.0 the nearest unused peer is added, below 0.8 the farthest one is taken out, one a period; the requests are
spread over the sites in use in proportion to their servers. HAZL has no model of what a peer can still take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.assemble import usable_links
from spillover.policies.layout import Layout
from spillover.policies.memory import last_split, recall
from spillover.policies.rival import finish, observed_load, observed_number

if TYPE_CHECKING:
    from spillover.model import Decision, Snapshot
    from spillover.policies import State

NAME = "band"
LOW, HIGH = 0.8, 2.0


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Add or remove one peer for each origin out of its band (see ``spillover.policies.Policy``)."""
    memory = recall(NAME, state)
    layout = Layout.of(snapshot)
    split, _ = last_split(layout, memory)
    links = usable_links(layout)
    home = layout.origin == layout.destination
    alive = layout.usable[layout.destination] > 0.0
    used = (links & (split > 0.0)) | (home & alive)
    number = observed_number(layout, observed_load(layout, memory))
    servers = layout.servers[layout.destination].astype(float)
    in_use = layout.by_origin(used * servers)
    load = layout.by_origin(used * number[layout.destination]) / np.maximum(in_use, 1.0)
    load = np.where(in_use > 0.0, load, np.inf)
    place = np.arange(len(layout.origin))
    first = np.full(layout.size, len(place))
    unused = links & ~used
    np.minimum.at(first, layout.origin[unused], place[unused])
    last = np.full(layout.size, -1)
    remote = links & used
    np.maximum.at(last, layout.origin[remote], place[remote])
    used |= (place == first[layout.origin]) & (load > HIGH)[layout.origin]
    used &= ~((place == last[layout.origin]) & (load < LOW)[layout.origin])
    why = [_why(value) for value in load.tolist()]
    return finish(NAME, layout, memory, layout.shares(used * servers), why=why, total=total)


def _why(load: float) -> str:
    if load > HIGH:
        return f"load {load:.1f} is above the band, a peer is added" if np.isfinite(load) else "home is dead"
    if load < LOW:
        return f"load {load:.1f} is below the band, the farthest peer is taken out"
    return f"load {load:.1f} is within the band"
