"""``cooperative``: the split with the least mean latency for what the sites look like now.

Every period it solves for the flows with the least total latency (and egress cost, if it is given a weight) over all
sites and links at once, with each site an M/M/c queue. It sheds only what all reachable sites together cannot serve,
the least important class first. Backlogs are drained by counting them as load; sites with a missing sample get nothing
new; sites that return get their share back in steps. ``stability`` then decides whether the new split is worth a
write.

What arrives at a peer is served there or refused: flows have one hop, so that no guest is ever spilled again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.policies.assemble import TINY, Draft, decision
from spillover.policies.layout import Layout
from spillover.policies.limits import Limits, limits, numbers, remembered
from spillover.policies.memory import recall, remember
from spillover.policies.optimal import Best, best_flow
from spillover.policies.rounding import fit, to_units
from spillover.policies.stability import WRITES_A_MINUTE, Splits, Steady, steady
from spillover.policies.words import sentences

if TYPE_CHECKING:
    from spillover.model import Decision, Snapshot
    from spillover.policies import State
    from spillover.policies.queueing import Floats

NAME = "cooperative"
_FULL = 1.0 - 1e-6


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Solve for the best split and hold the last one where the difference does not pay (``policies.Policy``)."""
    memory = recall(NAME, state)
    layout = Layout.of(snapshot)
    bounds = limits(layout, memory)
    best, limit = _best(layout, bounds)
    chosen = _steady(layout, bounds, best, limit, memory)
    flow = chosen.fraction * layout.demand[layout.origin]
    load = layout.by_destination(flow)
    price = np.maximum(layout.marginal(load).slope, np.where(load >= limit * _FULL, best.price, 0.0))
    units = fit(layout, to_units(layout, chosen.fraction, total), layout.demand - best.shed, limit=limit, total=total)
    draft = Draft(
        fraction=chosen.fraction,
        shed=best.shed,
        reasons=lambda: _reasons(layout, bounds, best, chosen, price),
        units=units,
        price=price,
        limit=limit,
        inflight=True,
        shed_by_class=best.parts.by_class(layout, best.part_shed),
        saturated=bool((best.shed > 0.0).any()),
    )
    result = decision(NAME, layout, draft, total)
    return result, _state(layout, memory, bounds, best=best, chosen=chosen, result=result)


def _best(layout: Layout, bounds: Limits) -> tuple[Best, Floats]:
    """Solve with returning sites held back; if that sheds anything, solve again with all that they have."""
    limit = bounds.limit * bounds.returning
    best = best_flow(layout, limit, bounds.fixed, bounds.backlog)
    if (best.shed > 0.0).any() and (bounds.returning[layout.healthy] < 1.0).any():
        limit = bounds.limit
        best = best_flow(layout, limit, bounds.fixed, bounds.backlog)
    return best, limit


def _steady(layout: Layout, bounds: Limits, best: Best, limit: Floats, memory: State) -> Steady:
    idle = layout.demand <= 0.0
    new = best.flow / np.where(idle, 1.0, layout.demand)[layout.origin]
    new[: layout.size][idle] = 1.0
    new[new <= TINY] = 0.0
    served = 1.0 - best.shed / np.where(idle, 1.0, layout.demand)
    new *= (served / np.maximum(layout.by_origin(new), 1e-300))[layout.origin]
    if bounds.held.any():
        held = bounds.held & (layout.by_origin(bounds.fixed) > 0.0)
        whole = np.where(held, layout.by_origin(bounds.fixed), 1.0)
        new = np.where(held[layout.origin], bounds.fixed / whole[layout.origin], new)
    shed_before = numbers(layout, memory, "shed", np.zeros(layout.size)) > 0.0
    forced = (best.shed > 0.0) | shed_before | bounds.held | idle
    return steady(
        layout,
        Splits(new=new, old=bounds.split, known=bounds.known, forced=forced),
        limit=limit,
        backlog=bounds.backlog,
        memory=memory,
    )


def _reasons(layout: Layout, bounds: Limits, best: Best, chosen: Steady, price: Floats) -> list[str]:
    used = chosen.fraction > 0.0
    there = np.where(used, layout.price + price[layout.destination], -np.inf)
    dearest = np.full(layout.size, -np.inf)
    np.maximum.at(dearest, layout.origin, there)
    why = []
    classes = best.parts.by_class(layout, best.part_shed)
    rows = zip(
        layout.names,
        (1000.0 * dearest).tolist(),
        best.shed.tolist(),
        bounds.held.tolist(),
        chosen.held.tolist(),
        bounds.backlog.tolist(),
        bounds.returning.tolist(),
        strict=True,
    )
    for name, cost, shed, missing, held, backlog, returning in rows:
        words = [f"marginal cost {cost:.0f} ms"] if np.isfinite(cost) else []
        if shed > 0.0:
            parts = ", ".join(f"{rate:.1f} of {one}" for one, rate in classes.get(name, {}).items() if rate > 0.0)
            words.append(f"{shed:.1f} rps shed{f' ({parts})' if parts else ''}, every reachable site is full")
        if missing:
            words.append("its sample is missing, the last split is held")
        elif held:
            words.append("the last split is held, a new one would not pay")
        if backlog > 0.0:
            words.append(f"a backlog here counts as {backlog:.1f} rps")
        if returning < 1.0:
            words.append(f"{returning:.0%} of this site is back")
        why.append(", ".join(words))
    return sentences(layout, chosen.fraction, why)


def _state(
    layout: Layout, memory: State, bounds: Limits, *, best: Best, chosen: Steady, result: Decision
) -> dict[str, Any]:
    last = numbers(layout, memory, "demand", layout.demand)
    demand = np.where(layout.missing, last, layout.demand)
    return remember(NAME, result.split) | {
        "demand": dict(zip(layout.names, demand.tolist(), strict=True)),
        "shed": remembered(layout, best.shed, 0.0),
        "returning": remembered(layout, bounds.returning, 1.0),
        "calm": remembered(layout, chosen.calm, 0.0),
        "budget": remembered(layout, chosen.budget, WRITES_A_MINUTE),
    }
