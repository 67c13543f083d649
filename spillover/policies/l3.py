"""``l3``: the weights of L3 (Middleware 2024): ``w = 1 / [(inflight/RPS + 1)^2 * (p99 + penalty)]``, every 5 s.

``inflight/RPS`` is a site's mean latency in seconds (Little), ``p99`` its 99th percentile with the round trip, both
from the load under the last split; ``penalty`` is for failing backends, and here a dead one gets no weight at all. The
p99 of a queue is taken as exponential, ``ln(100)`` times the mean. The measurements are smoothed over 5 s. The 1 in the
formula is a second, so that this policy alone depends on the unit of time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.layout import Layout
from spillover.policies.limits import numbers, remembered
from spillover.policies.memory import recall
from spillover.policies.rival import finish, observed_load, observed_number, reachable

if TYPE_CHECKING:
    from spillover.model import Decision, Snapshot
    from spillover.policies import State

NAME = "l3"
SMOOTHING_S = 5.0
_P99 = math.log(100.0)


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Weigh home and living peers by their latency (see ``spillover.policies.Policy``)."""
    memory = recall(NAME, state)
    layout = Layout.of(snapshot)
    load = observed_load(layout, memory)
    fresh = observed_number(layout, load) / np.maximum(load, 1e-300)
    fresh = np.where(load > 0.0, fresh, 1.0 / layout.server_rps)
    pace = 1.0 - math.exp(-snapshot.settings.period_s / SMOOTHING_S)
    before = numbers(layout, memory, "latency_s", fresh)
    latency = before + pace * (fresh - before)
    there = latency[layout.destination] + layout.rtt
    p99 = _P99 * latency[layout.destination] + layout.rtt
    weight = np.where(reachable(layout), 1.0 / ((there + 1.0) ** 2 * p99), 0.0)
    why = [f"mean latency at home {1000.0 * value:.0f} ms" for value in latency.tolist()]
    decision, after = finish(NAME, layout, memory, layout.shares(weight), why=why, total=total)
    return decision, after | {"latency_s": remembered(layout, np.minimum(latency, 1e12), np.nan)}
