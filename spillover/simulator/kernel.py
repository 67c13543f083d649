"""The compiled heart: moves requests between gateways, links and queues until a given time.

It knows nothing of policies. Between two calls the controller may change the routing; whatever happens at one moment is
ordered departures, then what is under way, then new arrivals: a slot that is freed at a moment is free for who comes
then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spillover.simulator.compiled import compiled
from spillover.simulator.heap import pop, push
from spillover.simulator.state import (
    ASKS,
    GIVES_UP,
    NO_REQUEST,
    OVERFLOW,
    REACHES,
    RETURNS,
    SED,
    SERVED,
    SHED,
    WEIGHTS,
)

if TYPE_CHECKING:
    from spillover.simulator.state import Record, State

REACHED, MORE_EVENTS, MORE_REQUESTS, MORE_SERVICE = 0, 1, 2, 3
"""Why ``advance`` returned: at the given time, or for want of room in one of the arrays."""

RETRY_AFTER_S = 1.0
"""How long a refused user waits; without it, one who does not think would ask for ever in one moment."""

SPARE_EVENTS = 8
"""No single step adds more events than this."""


@compiled
def advance(state: State, until_s: float) -> int:
    """Run all that happens before ``until_s``.

    Returns
    -------
    int
        ``REACHED``, or what has to grow before it is called again with the same time.
    """
    sites, requests, tally = state.sites, state.requests, state.tally[0]
    while True:
        site = -1
        departure_s = np.inf
        most = 0
        for j in range(len(sites)):
            most = max(most, sites[j].serving)
            if sites[j].next_departure < departure_s:
                departure_s = sites[j].next_departure
                site = j
        if most >= state.service.shape[1]:
            return MORE_SERVICE
        if tally.events + SPARE_EVENTS > len(state.events):
            return MORE_EVENTS
        event_s = state.events[0].key if tally.events > 0 else np.inf
        arrival_s = requests[tally.next_open].arrival_s if tally.next_open < tally.open else np.inf
        if min(departure_s, event_s, arrival_s) >= until_s:
            return REACHED
        if departure_s <= event_s and departure_s <= arrival_s:
            depart(state, site, departure_s)
        elif event_s <= arrival_s:
            if state.events[0].item & 3 == ASKS and tally.created >= len(requests):
                return MORE_REQUESTS
            tally.events -= 1
            happen(state, pop(state.events, tally.events + 1), event_s)
        else:
            tally.next_open += 1
            dispatch(state, tally.next_open - 1, arrival_s)


@compiled
def schedule(state: State, t_s: float, number: int, kind: int) -> None:
    """Note an event of a request (or, for ``ASKS``, of an origin)."""
    push(state.events, state.tally[0].events, t_s, number * 4 + kind)
    state.tally[0].events += 1


@compiled
def happen(state: State, what: int, t_s: float) -> None:
    """Let one event happen."""
    kind = what & 3
    number = what >> 2
    if kind == REACHES:
        reach(state, number, t_s)
    elif kind == RETURNS:
        if state.tally[0].mode == SED:
            dispatch(state, number, t_s)
        else:
            send_on(state, number, t_s)
    elif kind == ASKS:
        ask(state, number, t_s)
    elif kind == GIVES_UP and state.requests[number].answered_s > t_s:
        think(state, number, t_s)


@compiled
def ask(state: State, origin: int, t_s: float) -> None:
    """Let a user of an origin send its next request."""
    tally = state.tally[0]
    if t_s >= tally.stop_s:
        return
    i = tally.created
    tally.created += 1
    state.requests[i].arrival_s = t_s
    state.requests[i].origin = origin
    if np.isfinite(tally.timeout_s):
        schedule(state, t_s + tally.timeout_s, i, GIVES_UP)
    dispatch(state, i, t_s)


@compiled
def think(state: State, i: int, t_s: float) -> None:
    """Let the user of a request think from ``t_s`` on; in open loop there is none."""
    request = state.requests[i]
    think_s = state.sites[request.origin].think_s
    if np.isfinite(think_s):
        schedule(state, t_s + think_s * request.think, request.origin, ASKS)


@compiled
def answer(state: State, i: int, t_s: float, status: int) -> None:
    """End a request: its answer or refusal is with the client at ``t_s``. A refused user waits before it thinks."""
    request = state.requests[i]
    request.answered_s = t_s
    request.status = status
    if t_s <= request.arrival_s + state.tally[0].timeout_s:
        think(state, i, t_s + (RETRY_AFTER_S if status == SHED else 0.0))


@compiled
def dispatch(state: State, i: int, t_s: float) -> None:
    """Route a request at its origin's gateway."""
    request, tally = state.requests[i], state.tally[0]
    home = state.sites[request.origin]
    if tally.mode == SED:
        dispatch_soonest(state, i, t_s)
        return
    if home.shed_fraction > 0:
        if request.choice < home.shed_fraction:
            answer(state, i, t_s, SHED)
            return
        request.choice = (request.choice - home.shed_fraction) / (1.0 - home.shed_fraction)
    if tally.mode == WEIGHTS:
        send(state, i, weighted_link(state, i), t_s)
    elif bucket_gives(home, tally.bucket_depth, t_s):
        send(state, i, -1, t_s)
    else:
        send_on(state, i, t_s)


@compiled
def take_token(level: float, earned: float, depth: float) -> tuple[bool, float]:
    """Fill a bucket with what it has earned, and take a token if there is one; return that, and the level left."""
    level = min(depth, level + earned)
    if level < 1.0:
        return False, level
    return True, level - 1.0


@compiled
def bucket_gives(home: Record, depth: float, t_s: float) -> bool:
    """Whether an origin's bucket has a token for a request now; it is taken."""
    if np.isinf(home.bucket_rps):
        return True
    gives, home.bucket_level = take_token(home.bucket_level, home.bucket_rps * (t_s - home.bucket_at), depth)
    home.bucket_at = t_s
    return gives


@compiled
def grant_gives(link: Record, depth: float, t_s: float) -> bool:
    """Whether the bucket of an origin's guests at a peer has a token for a request now; it is taken."""
    if np.isinf(link.grant_rps):
        return True
    gives, link.grant_level = take_token(link.grant_level, link.grant_rps * (t_s - link.grant_at), depth)
    link.grant_at = t_s
    return gives


@compiled
def weighted_link(state: State, i: int) -> int:
    """Draw a link by the weights of the origin; -1 is home."""
    request = state.requests[i]
    links = state.links[request.origin]
    home = state.sites[request.origin]
    left = home.home_weight
    for turn in range(home.turns):
        left += links[links[turn].turn].weight
    left *= request.choice
    for turn in range(home.turns):
        k: int = links[turn].turn
        left -= links[k].weight
        if left < 0:
            return k
    return -1


@compiled
def expected_work_s(site: Record) -> float:
    """Return the time that one more request takes at a site, with those present and on their way in front of it."""
    speed: float = site.server_rps * site.factor
    share: float = (site.committed + 1) / site.servers
    if site.shared:
        return max(1.0, share) / speed
    return (1.0 + max(0.0, share - 1.0)) / speed


@compiled
def dispatch_soonest(state: State, i: int, t_s: float) -> None:
    """Send a request where its expected delay is least: round trip, waiting and service."""
    origin = state.requests[i].origin
    best = -2
    least_s = np.inf
    for k in range(-1, state.sites[origin].turns):
        site = state.sites[origin if k < 0 else state.links[origin, k].peer]
        if has_room(site):
            delay_s = expected_work_s(site)
            if k >= 0:
                delay_s += 2.0 * state.links[origin, k].half_rtt_s
            if delay_s < least_s:
                least_s = delay_s
                best = k
    if best < -1:
        answer(state, i, t_s, SHED)
    else:
        send(state, i, best, t_s)


@compiled
def note_hop(state: State, i: int, sender: int, site: int) -> None:
    """Record that a gateway sent a request to a site."""
    request = state.requests[i]
    state.path[i, request.sent, 0] = sender
    state.path[i, request.sent, 1] = site
    request.sent += 1
    request.destination = site
    state.sites[site].committed += 1


@compiled
def send(state: State, i: int, k: int, t_s: float) -> None:
    """Send a request from its origin over a link, or (-1) to its home, where it is at once."""
    request = state.requests[i]
    request.link = k
    if k < 0:
        request.back_s = 0.0
        note_hop(state, i, request.origin, request.origin)
        reach(state, i, t_s)
    else:
        link = state.links[request.origin, k]
        request.back_s = link.half_rtt_s
        note_hop(state, i, request.origin, link.peer)
        schedule(state, t_s + link.half_rtt_s, i, REACHES)


@compiled
def send_on(state: State, i: int, t_s: float) -> None:
    """Send a request that its home has not kept to the next destination: a peer by weight, another peer, home."""
    request = state.requests[i]
    origin = request.origin
    k = -1
    if request.sent < state.tally[0].attempts - 1:
        k = next_link(state, i)
    if k >= 0:
        request.tried |= 1 << k
        send(state, i, k, t_s)
    elif has_room(state.sites[origin]):  # the last resort: past the in-flight limit
        request.link = -1
        request.back_s = 0.0
        note_hop(state, i, origin, origin)
        enter(state, i, origin, t_s)
    else:
        answer(state, i, t_s, SHED)


@compiled
def next_link(state: State, i: int) -> int:
    """Return the link to try: drawn by weight among the untried, then in order; -1 if all were tried."""
    request = state.requests[i]
    links = state.links[request.origin]
    turns = state.sites[request.origin].turns
    total = 0.0
    chosen = -1
    for turn in range(turns - 1, -1, -1):
        k = links[turn].turn
        if not (request.tried >> k) & 1:
            chosen = k
            total += links[k].weight
    if total <= 0:
        return chosen
    left = request.choice * total
    for turn in range(turns):
        k = links[turn].turn
        weight = links[k].weight
        if weight > 0 and not (request.tried >> k) & 1:
            chosen = k
            if left < weight:
                request.choice = left / weight
                break
            left -= weight
    return chosen


@compiled
def has_room(site: Record) -> bool:
    """Whether a site lives and its queue is not full."""
    room: bool = site.factor > 0 and site.present - site.servers < site.queue_limit
    return room


@compiled
def reach(state: State, i: int, t_s: float) -> None:
    """Let a site take or refuse a request that has come to it."""
    request, tally = state.requests[i], state.tally[0]
    site = state.sites[request.destination]
    accepted = True
    if tally.mode == OVERFLOW:
        if request.link >= 0:
            accepted = grant_gives(state.links[request.origin, request.link], tally.grant_depth, t_s)
        accepted = accepted and site.present < site.inflight_limit
    if accepted and has_room(site):
        enter(state, i, request.destination, t_s)
    else:
        site.committed -= 1
        turn_away(state, i, t_s)


@compiled
def turn_away(state: State, i: int, t_s: float) -> None:
    """Tell the origin that its request was refused or lost: it goes on in order; with plain weights, to the client."""
    request = state.requests[i]
    if state.tally[0].mode == WEIGHTS or request.sent >= state.path.shape[1]:
        answer(state, i, t_s + request.back_s, SHED)
    else:
        schedule(state, t_s + request.back_s, i, RETURNS)


@compiled
def speed_in_service(site: Record) -> float:
    """Work that each request in service gets done in a second."""
    speed: float = site.server_rps * site.factor
    if site.shared and site.serving > site.servers:
        speed *= site.servers / site.serving
    return speed


@compiled
def read_clock(site: Record, t_s: float) -> None:
    """Bring a site's work clock up to now; call it before its speed changes."""
    site.work_clock += (t_s - site.clock_at) * speed_in_service(site)
    site.clock_at = t_s


@compiled
def foresee_departure(state: State, j: int, t_s: float) -> None:
    """Note when the next request leaves, as things are; the work clock must be up to date."""
    site = state.sites[j]
    speed = speed_in_service(site)
    if site.serving == 0 or speed <= 0:
        site.next_departure = np.inf
    else:
        site.next_departure = t_s + max(0.0, state.service[j, 0].key - site.work_clock) / speed


@compiled
def serve(state: State, i: int, j: int) -> None:
    """Begin to serve a request; the site's work clock must be up to date."""
    site = state.sites[j]
    push(state.service[j], site.serving, site.work_clock + state.work[site.row, i], i)
    site.serving += 1


@compiled
def enter(state: State, i: int, j: int, t_s: float) -> None:
    """Put a request into service, or at the end of the line."""
    site = state.sites[j]
    site.present += 1
    if site.shared or site.serving < site.servers:
        read_clock(site, t_s)
        serve(state, i, j)
        foresee_departure(state, j, t_s)
        return
    state.requests[i].behind = NO_REQUEST
    if site.last == NO_REQUEST:
        site.first = i
    else:
        state.requests[site.last].behind = i
    site.last = i


@compiled
def depart(state: State, j: int, t_s: float) -> None:
    """Let the next request leave a site and the next in line begin."""
    site = state.sites[j]
    read_clock(site, t_s)
    i = pop(state.service[j], site.serving)
    site.serving -= 1
    site.present -= 1
    site.committed -= 1
    waiting = site.first
    if waiting != NO_REQUEST:
        site.first = state.requests[waiting].behind
        if site.first == NO_REQUEST:
            site.last = NO_REQUEST
        serve(state, waiting, j)
    foresee_departure(state, j, t_s)
    answer(state, i, t_s + state.requests[i].back_s, SERVED)


@compiled
def set_factor(state: State, j: int, factor: float, t_s: float) -> None:
    """Change what is left of a site's speed; at 0 it dies, and everything in it is lost.

    There must be room for an event for each request that is present.
    """
    site = state.sites[j]
    read_clock(site, t_s)
    site.factor = factor
    if factor <= 0:
        site.committed -= site.present
        site.present = 0
        while site.serving > 0:
            site.serving -= 1
            turn_away(state, pop(state.service[j], site.serving + 1), t_s)
        i = site.first
        while i != NO_REQUEST:
            turn_away(state, i, t_s)
            i = state.requests[i].behind
        site.first = NO_REQUEST
        site.last = NO_REQUEST
    foresee_departure(state, j, t_s)
