"""When the fast clock spills: which trigger each origin has, and the in-flight limit of each site.

A request is better off elsewhere when what it would wait here is more than the detour and what it would wait there.
The proxies cannot compare, but they can count: ``k`` requests in a site of ``c`` servers, each serving ``mu`` a second,
make the next one wait ``(k - c + 1) / (c mu)``, so a limit on ``k`` is a limit on that wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Bools, Floats, Ints

BUCKET, INFLIGHT, BOTH = "bucket", "inflight", "both"
"""What makes a request leave its home: no token, a full site, or either."""

CROWDED = 2.5
"""How many times the mean wait those meet who find their home full: they come when the others are busy, too.

Found on the standard scenario at 30 rps: the mean is 1.41 times ``sed``'s with 0, 1.16 with 2.5, and 1.23 with 5.
"""

UNSELFISH = 0.5
"""Share of what a guest of a slower home gains by waiting that counts: all who come later wait for it, too (Naor 1969).

Found on the standard scenarios with 4 servers: with 1 the means lie up to 6 % higher, with 0.35 2 % at 30 rps.
"""

FULLEST = 0.98
"""Utilisation from which the wait grows no further, since it would have no end at 1."""

MOST_WAITING = 1e6
"""An in-flight limit never lies further above the number of servers."""


def triggers(layout: Layout, usable: Bools) -> list[str]:
    """Return each origin's trigger.

    Where an idle home answers no later than any idle peer, only a full home is a reason to leave: a bucket would also
    send away what finds home idle. Where a peer is faster, detour included, a full home is a reason that comes too
    late, and the bucket keeps at home only what the split keeps. So does that of a dead home, which is never full.
    """
    slower = (_detour(layout, usable) < 0.0) | (layout.usable <= 0.0)
    return [BOTH if bucket else INFLIGHT for bucket in slower.tolist()]


def first_tries(layout: Layout, flow: Floats, grants: Floats, usable: Bools) -> Floats:
    """Return by edge what share of an origin's spilled requests tries a peer first; 0 without a usable link.

    Who refuses costs a round trip and no more, so a request first tries where it is answered soonest if it is taken:
    the best of the idle peers, until that has been asked for all that it grants; then the next.

    Parameters
    ----------
    layout : Layout
        The snapshot.
    flow, grants : array
        Requests per second by edge, as decided, and the most that the peer takes.
    usable : array of bool
        Which edges are links to a living peer.
    """
    edges = np.flatnonzero(usable)
    origin = layout.origin[edges]
    there = layout.price[edges] + 1.0 / layout.server_rps[layout.destination[edges]]
    # They are in the order of origin and distance, and one nearly sorted key is quicker than two: if one link is so
    # dear that rounding hides what the others differ by, theirs stay in the order of distance.
    edges = edges[np.argsort(origin + there / (2.0 * there.max(initial=1e-300)), kind="stable")]
    origin = layout.origin[edges]
    # A trifle for those who spill nothing yet, so that their first tries are known, too.
    spilled = np.maximum(layout.by_origin(flow) - flow[: layout.size], 1e-3 * layout.server_rps)[origin]
    room = grants[edges]
    before = np.cumsum(room) - room
    before -= before[np.searchsorted(origin, origin)]  # what the better peers of the same origin grant
    result = np.zeros(len(flow))
    result[edges] = np.clip(spilled - before, 0.0, room)
    return result


def inflight_limits(layout: Layout, flow: Floats, usable: Bools) -> Ints:
    """Return by site the requests in service and waiting at which the next one is better off elsewhere.

    A site's own request has the detour to its best peer to gain, a guest the wait that it would find back at its
    home, which is full: there it would be the first beyond the limit. They count by their share of the site's load.
    Both meet others who look for a place: the busier the site and its peers together, the longer is the wait elsewhere.

    Parameters
    ----------
    layout : Layout
        The snapshot.
    flow : array
        Requests per second by edge.
    usable : array of bool
        Which edges are links to a living peer.
    """
    size = layout.size
    detour = _detour(layout, usable)
    linked = np.isfinite(detour)
    busy = CROWDED * _pooled_wait(layout, layout.by_destination(flow), usable)
    own = np.where(linked, np.maximum(np.where(linked, detour, 0.0) + busy, 0.0), 0.0)
    # A home with a bucket sends guests away while it has free servers: there they would not wait, but be served slower.
    slower = detour < 0.0
    back = np.where(slower, busy, own + 1.0 / layout.saturation) + 1.0 / layout.server_rps
    origin, peer = layout.origin[usable], layout.destination[usable]
    theirs = np.maximum(back[origin] - 1.0 / layout.server_rps[peer], 0.0) * np.where(slower, UNSELFISH, 1.0)[origin]
    guest = np.full(size, np.inf)
    np.minimum.at(guest, peer, theirs)
    guest = np.where(np.isfinite(guest), guest, own)
    kept = np.where(linked, flow[:size], 0.0)
    guests = layout.by_destination(flow) - flow[:size]
    idle = kept + guests <= 0.0
    share = np.where(idle, np.where(linked, 1.0, 0.0), kept / np.where(idle, 1.0, kept + guests))
    gain = share * own + (1.0 - share) * guest
    more = np.minimum(np.floor(layout.saturation * gain + _ROUNDING), MOST_WAITING)
    limits: Ints = layout.servers + more.astype(np.int64)
    return limits


def _pooled_wait(layout: Layout, load: Floats, usable: Bools) -> Floats:
    """Return by site the mean wait, in seconds, if the site and its peers were one queue for all of their load.

    Sakasegawa's approximation of M/M/c (1977), ``rho^sqrt(2(c + 1)) / (c mu (1 - rho))``.
    """
    alive = layout.usable > 0.0
    origin, peer = layout.origin[usable], layout.destination[usable]

    def pooled(values: Floats) -> Floats:
        values = np.where(alive, values, 0.0)
        return values + np.bincount(origin, weights=values[peer], minlength=layout.size)

    rate = np.maximum(pooled(layout.saturation), 1e-300)
    rho = np.minimum(pooled(load) / rate, FULLEST)
    wait: Floats = rho ** np.sqrt(2.0 * (pooled(layout.servers.astype(float)) + 1.0)) / (rate * (1.0 - rho))
    return wait


_ROUNDING = 1e-9


def _detour(layout: Layout, usable: Bools) -> Floats:
    """Return by site what an answer takes longer at its best peer when all are idle, in seconds; inf without a peer."""
    there = layout.price + 1.0 / layout.server_rps[layout.destination]
    best = np.full(layout.size, np.inf)
    np.minimum.at(best, layout.origin[usable], there[usable])
    return best - 1.0 / layout.server_rps
