"""``load-aware-locality``: Envoy's load balancing policy of that name (1.40), by the rules of its documentation.

Every tick each locality's utilisation is smoothed (time constant 5 s, the first sample raw) and weighed by its
headroom, ``hosts * (1 - utilisation)``. While home is at most 0.1 above the remote average it gets everything, but for
a probe of 3 % that is spread over the remotes by their hosts. If nobody has headroom the weights are the hosts. Here a
site's servers stand for its hosts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.assemble import usable_links
from spillover.policies.layout import Layout
from spillover.policies.limits import numbers, remembered
from spillover.policies.memory import recall
from spillover.policies.rival import finish, observed_load, observed_utilisation, reachable

if TYPE_CHECKING:
    from spillover.model import Decision, Snapshot
    from spillover.policies import State
    from spillover.policies.queueing import Floats

NAME = "load-aware-locality"
SMOOTHING_S = 5.0
THRESHOLD = 0.1
PROBE = 0.03


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Weigh localities by headroom with a preference for home (see ``spillover.policies.Policy``)."""
    memory = recall(NAME, state)
    layout = Layout.of(snapshot)
    fresh = observed_utilisation(layout, observed_load(layout, memory))
    pace = 1.0 - math.exp(-snapshot.settings.period_s / SMOOTHING_S)
    before = numbers(layout, memory, "utilisation", fresh)
    smooth = before + pace * (fresh - before)
    why = [f"utilisation at home {value:.2f}" for value in smooth.tolist()]
    decision, after = finish(NAME, layout, memory, layout.shares(weights(layout, smooth)), why=why, total=total)
    return decision, after | {"utilisation": remembered(layout, smooth, np.nan)}


def weights(layout: Layout, utilisation: Floats) -> Floats:
    """Return the weights by edge after headroom, local preference and probe."""
    hosts = np.where(reachable(layout), layout.servers[layout.destination], 0).astype(float)
    remote = np.where(usable_links(layout), hosts, 0.0)
    weight = hosts * (1.0 - utilisation[layout.destination])
    nobody = layout.by_origin(weight) <= 0.0
    remote_hosts = layout.by_origin(remote)
    average = layout.by_origin(remote * utilisation[layout.destination]) / np.maximum(remote_hosts, 1.0)
    alive = layout.usable > 0.0
    local = alive & ~nobody & (remote_hosts > 0.0) & (utilisation <= average + THRESHOLD)
    whole = layout.by_origin(weight)
    away = remote > 0.0
    weight = np.where(local[layout.origin] & away, 0.0, weight)
    weight[: layout.size] = np.where(local, whole, weight[: layout.size])
    lacking = PROBE * whole - layout.by_origin(np.where(away, weight, 0.0))
    taken = np.where(remote_hosts > 0.0, np.clip(lacking, 0.0, weight[: layout.size]), 0.0)
    weight[: layout.size] -= taken
    weight += remote * (taken / np.maximum(remote_hosts, 1.0))[layout.origin]
    return np.where(nobody[layout.origin], hosts, weight)
