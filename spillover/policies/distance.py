"""How far weights are from the best split of a snapshot, both judged by the same model of latency.

    gap = mean(weights) / mean(best) - 1

with the mean latency (and egress cost, if it has a weight) of M/M/c queues in a steady state. The best split may fill a
site up to its saturation: it is what latency alone would ask for, whatever the operator's ``max_utilisation``. Backlogs
and what the policy remembers are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.layout import Layout
from spillover.policies.optimal import best_flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.model import Snapshot
    from spillover.policies.queueing import Floats

MOST_SITES = 20
"""Beyond it the best split would take a noticeable part of a period, every period."""

_NEAR_SATURATION = 1.0 - 1e-4


@dataclass(frozen=True, slots=True)
class Distance:
    """Predicted means in milliseconds, cost included.

    Parameters
    ----------
    mean_ms : float or None
        Of the weights; None where they fill a site to its saturation or send to a dead one.
    best_ms : float or None
        Of the best split; None where no split serves the demand.
    """

    mean_ms: float | None
    best_ms: float | None

    @property
    def gap(self) -> float | None:
        """Return the relative distance, 0 at the optimum; None where one of the means is."""
        return None if self.mean_ms is None or self.best_ms is None else self.mean_ms / self.best_ms - 1.0


def distance(snapshot: Snapshot, weights: Mapping[str, Mapping[str, int]]) -> Distance | None:
    """Compare weights with the best split.

    Parameters
    ----------
    snapshot : Snapshot
        What the sites look like now.
    weights : mapping of origin to mapping of destination to int
        Of every origin with demand; what is not linked has to be 0.

    Returns
    -------
    Distance or None
        None where there are too many sites, a sample is missing, there is no demand, or an origin has no weights.
    """
    if len(snapshot.sites) > MOST_SITES:
        return None
    layout = Layout.of(snapshot)
    flow = _flow(layout, weights)
    if layout.missing.any() or not layout.demand.any() or flow is None:
        return None
    mean_ms, best_ms = _mean_ms(layout, flow), _best_ms(layout)
    if mean_ms is not None and best_ms is not None:
        best_ms = min(best_ms, mean_ms)  # the solver's tolerance is no distance
    return Distance(mean_ms, best_ms)


def _best_ms(layout: Layout) -> float | None:
    """Return the mean of the best split; None where none serves the demand."""
    limit = np.where(layout.healthy, _NEAR_SATURATION * layout.saturation, 0.0)
    if layout.demand.sum() >= limit.sum():
        return None  # known without a solver, which demands far beyond all limits would only strain
    best = best_flow(layout, limit, np.zeros(len(layout.origin)), np.zeros(layout.size))
    return None if best.shed.any() else _mean_ms(layout, best.flow)


def _flow(layout: Layout, weights: Mapping[str, Mapping[str, int]]) -> Floats | None:
    """Return requests per second by edge; None where the weights do not say where all demand goes."""
    edges = zip(layout.named(layout.origin), layout.named(layout.destination), strict=True)
    units = np.array([weights.get(origin, {}).get(peer, 0) for origin, peer in edges], dtype=float)
    whole = np.array([sum(weights.get(name, {}).values()) for name in layout.names], dtype=float)
    if bool((((layout.by_origin(units) != whole) | (whole <= 0.0)) & (layout.demand > 0.0)).any()):
        return None
    flow: Floats = units * (layout.demand / np.maximum(whole, 1.0))[layout.origin]
    return flow


def _mean_ms(layout: Layout, flow: Floats) -> float | None:
    """Return the mean latency and cost of what is served."""
    if (layout.by_destination(flow)[~layout.healthy] > 0.0).any():
        return None
    mean_ms = layout.mean_ms(flow)
    costs_ms = 1000.0 * float(flow @ (layout.price - layout.rtt)) / float(flow.sum())
    return None if mean_ms is None else mean_ms + costs_ms
