"""``static``: fixed shares in proportion to the capacities of home and its living peers, whatever the demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.layout import Layout
from spillover.policies.memory import recall
from spillover.policies.rival import finish, reachable

if TYPE_CHECKING:
    from spillover.model import Decision, Snapshot
    from spillover.policies import State

NAME = "static"


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Divide each origin's demand by capacity (see ``spillover.policies.Policy``)."""
    memory = recall(NAME, state)
    layout = Layout.of(snapshot)
    capacity = np.where(reachable(layout), layout.capacity[layout.destination], 0.0)
    why = ["in proportion to the capacities"] * layout.size
    return finish(NAME, layout, memory, layout.shares(capacity), why=why, total=total)
