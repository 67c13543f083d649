"""From the flows that a policy chose to the whole decision: what every policy has in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.model import Decision
from spillover.policies.lazy import Lazy
from spillover.policies.queueing import CUT, Bools, Floats, Ints, rate_at
from spillover.policies.rounding import to_units
from spillover.policies.triggers import BUCKET, first_tries, inflight_limits, triggers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spillover.policies.layout import Layout

TINY = 1e-9
"""Fractions up to this are rounding errors of a solver, and zero."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a policy decided, by edge and by origin.

    Parameters
    ----------
    fraction : array
        Share of its origin's demand, by edge; with the shed share they sum to 1 for each origin.
    shed : array
        Requests per second refused, by origin.
    reasons : callable
        Returns a sequence of str by origin; called when somebody first reads one.
    bucket : array, optional
        Rate kept at home by origin, NaN for none; left out, the kept rate or the lowest threshold, if that is higher.
    units : array of int, optional
        Weights by edge; left out, the fractions by largest remainder.
    price : array, optional
        Marginal seconds of one more request at each site; left out, that of its queue.
    limit : array, optional
        The most load that each site may take, for the grants; left out, its usable capacity.
    spills : bool
        False for a policy that never spills: it has neither bucket nor grants.
    inflight : bool
        Whether a full site is a reason to spill; left out, the bucket is the only one.
    """

    fraction: Floats
    shed: Floats
    reasons: Callable[[], Sequence[str]]
    bucket: Floats | None = None
    units: Ints | None = None
    price: Floats | None = None
    limit: Floats | None = None
    spills: bool = True
    inflight: bool = False
    shed_by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    saturated: bool = False


def decision(policy: str, layout: Layout, draft: Draft, total: int) -> Decision:
    """Complete a draft to a decision.

    Parameters
    ----------
    policy : str
        The policy's name.
    layout : Layout
        The snapshot.
    draft : Draft
        What the policy decided.
    total : int
        What each origin's weights sum to.
    """
    fraction = np.where(draft.fraction > TINY, draft.fraction, 0.0)
    flow = fraction * layout.demand[layout.origin]
    load = layout.by_destination(flow)
    price = layout.marginal(load, _cut(layout)).slope if draft.price is None else draft.price
    units = to_units(layout, fraction, total) if draft.units is None else draft.units
    bucket = default_bucket(layout, flow, price) if draft.bucket is None else draft.bucket
    grants = headroom_grants(layout, flow, layout.usable if draft.limit is None else draft.limit)
    if not draft.spills:
        bucket, grants = np.full(layout.size, np.nan), np.zeros_like(grants)
    links = slice(layout.size, None)
    usable = usable_links(layout)
    return Decision(
        policy=policy,
        split=_nested(layout, layout.origin, layout.destination, fraction, fraction > 0.0),
        weights=Lazy(lambda: _nested(layout, layout.origin, layout.destination, units, units > 0)),
        bucket_rps={
            name: None if np.isnan(rate) else rate for name, rate in zip(layout.names, bucket.tolist(), strict=True)
        },
        inflight_limit=dict(zip(layout.names, inflight_limits(layout, flow, usable).tolist(), strict=True)),
        thresholds_rps=Lazy(lambda: _thresholds(layout, price)),
        grants_rps=Lazy(lambda: _nested(layout, layout.destination[links], layout.origin[links], grants[links])),
        shed_rps=dict(zip(layout.names, draft.shed.tolist(), strict=True)),
        reasons=Lazy(lambda: dict(zip(layout.names, draft.reasons(), strict=True))),
        predicted_mean_ms=layout.mean_ms(flow),
        peer_order=Lazy(
            lambda: _peer_order(layout, price, grants) if draft.spills else dict.fromkeys(layout.names, ())
        ),
        shed_by_class_rps=draft.shed_by_class,
        saturated=draft.saturated,
        trigger=dict(zip(layout.names, triggers(layout, usable), strict=True))
        if draft.inflight
        else dict.fromkeys(layout.names, BUCKET),
        spill_weights=Lazy(lambda: _spill_weights(layout, first_tries(layout, flow, grants, usable), total))
        if draft.inflight
        else {},
    )


def usable_links(layout: Layout) -> Bools:
    """Return which edges are links to a living peer."""
    usable: Bools = (layout.origin != layout.destination) & (layout.usable[layout.destination] > 0.0)
    return usable


def _thresholds(layout: Layout, price: Floats) -> dict[str, dict[str, Any]]:
    """Return for each usable link the home load at which spilling over it starts to pay.

    There one more request costs the same at home and at the peer: ``L'_home(y) = rtt + cost + price_peer``. To an idle
    peer of an M/M/1 home that is ``mu - sqrt(mu / (d + 1/mu_peer))``.
    """
    edges = np.flatnonzero(usable_links(layout))
    origin, peer = layout.origin[edges], layout.destination[edges]
    there = layout.price[edges] + price[peer]
    return _nested(layout, origin, peer, rate_at(there, layout.servers[origin], layout.server_rps[origin]))


def default_bucket(layout: Layout, flow: Floats, price: Floats) -> Floats:
    """Return the rate that each origin keeps at home: what it keeps now, or where spilling starts to pay, if higher."""
    there = np.where(usable_links(layout), layout.price + price[layout.destination], np.inf)
    # The lowest threshold is that of the cheapest link: the marginal cost at home rises with its load.
    cheapest = layout.least(there)
    linked = np.isfinite(cheapest)
    lowest = rate_at(np.where(linked, cheapest, 0.0), layout.servers, layout.server_rps)
    bucket = np.where(layout.usable > 0.0, np.maximum(flow[: layout.size], lowest), 0.0)
    return np.where(linked, bucket, np.nan)


def headroom_grants(layout: Layout, flow: Floats, limit: Floats) -> Floats:
    """Return by edge the most guests that the peer takes: what was decided, and a part of what is left.

    Half of what is left is divided evenly, for who has nothing to spill yet, and half by demand, since larger origins
    have larger crowds. The sum is at most the peer's limit less the load that it keeps for itself.
    """
    size = layout.size
    guest = flow.copy()
    guest[:size] = 0.0
    headroom = np.maximum(limit - flow[:size], 0.0)
    guests = layout.by_destination(guest)
    asked = np.bincount(layout.destination[size:], minlength=size)
    scale = np.where(guests > headroom, headroom / np.where(guests > 0.0, guests, 1.0), 1.0)
    spare = np.maximum(headroom - guests, 0.0)
    theirs = layout.demand[layout.origin]
    theirs[:size] = 0.0
    asking = layout.by_destination(theirs)
    even = 1.0 / np.maximum(asked, 1)
    part = np.where(asking > 0.0, 0.5 * even, even)[layout.destination]
    part += 0.5 * theirs / np.where(asking > 0.0, asking, 1.0)[layout.destination]
    grants: Floats = guest * scale[layout.destination] + spare[layout.destination] * part
    return grants


def _spill_weights(layout: Layout, tries: Floats, total: int) -> dict[str, dict[str, int]]:
    """Return first tries as integers of about this total; only their ratio matters."""
    units = np.rint(total * layout.shares(tries)).astype(np.int64)
    links = slice(layout.size, None)
    return _nested(layout, layout.origin[links], layout.destination[links], units[links], units[links] > 0)


def _cut(layout: Layout) -> Floats:
    return np.clip(layout.usable / layout.saturation, 1e-6, CUT)


def _nested(
    layout: Layout,
    outer: Ints,
    inner: Ints,
    values: Floats | Ints,
    which: Bools | None = None,
) -> dict[str, dict[str, Any]]:
    """Return values by edge as ``{outer name: {inner name: value}}``, inner names in the order of the edges."""
    if which is not None:
        outer, inner, values = outer[which], inner[which], values[which]
    order = np.argsort(outer, kind="stable")
    inner_names, listed = layout.named(inner[order]), values[order].tolist()
    return {
        name: dict(zip(inner_names[start:end], listed[start:end], strict=True))
        for name, start, end in _spans(layout, outer[order])
    }


def _spans(layout: Layout, outer: Ints) -> zip[tuple[str, int, int]]:
    """Return each site's name with the start and the end of its run in a sorted array of sites."""
    ends = np.searchsorted(outer, np.arange(layout.size), side="right").tolist()
    return zip(layout.names, [0, *ends[:-1]], ends, strict=True)


def _peer_order(layout: Layout, price: Floats, grants: Floats) -> dict[str, tuple[str, ...]]:
    """Order each origin's living peers: those with headroom first, then by what one more request costs there."""
    edges = np.flatnonzero(usable_links(layout))
    cost = layout.price[edges] + price[layout.destination[edges]]
    order = edges[np.lexsort((edges, cost, grants[edges] <= TINY, layout.origin[edges]))]
    peers = layout.named(layout.destination[order])
    return {name: tuple(peers[start:end]) for name, start, end in _spans(layout, layout.origin[order])}
