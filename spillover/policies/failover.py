"""``failover``: Istio's locality failover, on health alone.

Everything stays at home while home lives; then everything goes to the next locality that does, the living peers with
the shortest round trip, in proportion to their servers. A flooded but living site does not spill.
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

NAME = "failover"


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Keep all at home, or move all to the nearest living peers (see ``spillover.policies.Policy``)."""
    memory = recall(NAME, state)
    layout = Layout.of(snapshot)
    living = usable_links(layout)
    nearest = np.full(layout.size, np.inf)
    np.minimum.at(nearest, layout.origin[living], layout.rtt[living])
    first = living & (layout.rtt <= nearest[layout.origin])
    away = layout.shares(np.where(first, layout.servers[layout.destination], 0).astype(float))
    fraction = np.where(layout.healthy[layout.origin], layout.at_home(), away)
    why = ["home is healthy" if healthy else "home is dead" for healthy in layout.healthy.tolist()]
    return finish(NAME, layout, memory, fraction, why=why, total=total)
