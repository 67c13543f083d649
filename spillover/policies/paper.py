"""``paper``: the rule of the paper, from requests per minute over a fixed limit to weights.

"A Cooperative Load Balancing Method for Edge Computing Resources Using Kubernetes and Service Mesh" (2021)::

    RPM <  RPM_max:  W_in = 100,                W_out = 0
    RPM >= RPM_max:  W_in = 100 * RPM_max / RPM, W_out = 100 - W_in

``RPM_max`` is 60 times the site's ``capacity_rps``. ``W_out`` is divided over the linked, living peers in proportion
to their capacities; without such a peer everything stays at home. The paper has no rule for a dead home; here a dead
home keeps nothing while a living peer is linked.
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

NAME = "paper"


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Apply the paper's rule to every origin (see ``spillover.policies.Policy``)."""
    memory = recall(NAME, state)
    layout = Layout.of(snapshot)
    return finish(NAME, layout, memory, split(layout), why=_why(layout), total=total, bucket=_bucket(layout))


def home_share(demand_rps: Floats, limit_rps: Floats) -> Floats:
    """Return ``W_in / 100``: 1 below the limit, ``limit / demand`` from it on (also 1 at the limit itself)."""
    return np.where(demand_rps < limit_rps, 1.0, limit_rps / np.maximum(demand_rps, limit_rps))


def split(layout: Layout) -> Floats:
    """Return the rule's fractions by edge."""
    kept = np.where(layout.healthy, home_share(layout.demand, layout.capacity), 0.0)
    room = np.where(usable_links(layout), layout.capacity[layout.destination], 0.0)
    beside = layout.by_origin(room)
    kept = np.where((beside > 0.0) & (layout.demand > 0.0), kept, 1.0)
    fraction = (1.0 - kept)[layout.origin] * room / np.maximum(beside, 1e-300)[layout.origin]
    fraction[: layout.size] = kept
    return fraction


def _bucket(layout: Layout) -> Floats:
    """Return RPM_max as a rate, NaN for origins with no living peer."""
    has_peer = layout.by_origin(usable_links(layout).astype(float)) > 0.0
    return np.where(has_peer, np.where(layout.healthy, layout.capacity, 0.0), np.nan)


def _why(layout: Layout) -> list[str]:
    why = []
    for index in range(layout.size):
        rpm, limit = 60.0 * layout.demand[index], 60.0 * layout.capacity[index]
        if not layout.healthy[index]:
            why.append("the application is dead here")
        elif rpm < limit:
            why.append(f"RPM {rpm:.0f} is below RPM_max {limit:.0f}")
        else:
            why.append(f"RPM {rpm:.0f} is not below RPM_max {limit:.0f}")
    return why
