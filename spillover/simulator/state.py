"""The state of a simulation as plain arrays: what the compiled kernel works on.

S sites, N requests, D links of the best-linked origin, R distributions of work. Times are in seconds. The arrays are
few and hold records, because the kernel hands them from function to function with every event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spillover.simulator.heap import HEAP_ENTRY
from spillover.simulator.scenario import Users

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spillover.simulator.draws import Draws
    from spillover.simulator.scenario import Scenario

    Records = NDArray[Any]
    Record = Any  # one of Records; compiled code reads its fields as attributes

WEIGHTS, OVERFLOW, SED = 0, 1, 2
"""How an origin picks a destination."""

REACHES, RETURNS, ASKS, GIVES_UP = 0, 1, 2, 3
"""Kinds of events: a guest reaches a peer, a refusal returns to its origin, a user asks, a user gives up."""

PENDING, SERVED, SHED = 0, 1, 2
"""What became of a request; shed are those refused by all, and those lost with a dying site."""

NOT_BOUNDED = np.iinfo(np.int64).max // 2
NO_REQUEST = -1

SITE = np.dtype(
    [
        # As a queue. Work is counted on a clock that runs at the speed of one request in service.
        ("servers", np.int64),
        ("server_rps", np.float64),  # at factor 1
        ("factor", np.float64),  # share of the speed that is left
        ("shared", np.bool_),  # processor sharing
        ("queue_limit", np.int64),  # most requests that wait
        ("row", np.int64),  # distribution of work
        ("work_clock", np.float64),  # work done for a request that has been in service since the start
        ("clock_at", np.float64),  # when work_clock was read
        ("next_departure", np.float64),
        ("present", np.int64),  # in service and waiting
        ("committed", np.int64),  # present and on their way
        ("serving", np.int64),
        ("first", np.int64),  # head of the line (FCFS)
        ("last", np.int64),
        ("inflight_limit", np.int64),
        # As an origin.
        ("home_weight", np.float64),
        ("turns", np.int64),  # links in the order to try
        ("shed_fraction", np.float64),
        ("bucket_rps", np.float64),  # infinite: every request finds a token
        ("bucket_level", np.float64),
        ("bucket_at", np.float64),
        ("think_s", np.float64),  # infinite where the loop is open
    ],
    align=True,
)
LINK = np.dtype(
    [
        ("peer", np.int64),
        ("half_rtt_s", np.float64),
        ("weight", np.float64),
        ("turn", np.int64),  # the link to try in this turn
        ("grant_rps", np.float64),
        ("grant_level", np.float64),
        ("grant_at", np.float64),
    ],
    align=True,
)
REQUEST = np.dtype(
    [
        ("arrival_s", np.float64),
        ("choice", np.float64),  # what is left of the uniform draw
        ("think", np.float64),
        ("answered_s", np.float64),  # infinite while pending
        ("back_s", np.float64),  # from its destination to its origin
        ("behind", np.int64),  # who waits behind it
        ("tried", np.int64),  # bits of the links tried
        ("origin", np.int32),
        ("destination", np.int32),  # the last site it was sent to
        ("link", np.int32),  # over which; -1 at home
        ("status", np.int16),
        ("sent", np.int16),  # times that it was sent somewhere; with these two there is no padding, which has no value
    ],
    align=True,
)
TALLY = np.dtype(
    [
        ("mode", np.int64),
        ("attempts", np.int64),  # destinations that one request may try
        ("next_open", np.int64),  # the next open-loop arrival
        ("open", np.int64),  # how many there are
        ("created", np.int64),  # requests so far, all of open loop from the start
        ("events", np.int64),  # pending
        ("bucket_depth", np.float64),
        ("grant_depth", np.float64),
        ("timeout_s", np.float64),
        ("stop_s", np.float64),  # no new requests of users from then on
    ],
    align=True,
)


class State(NamedTuple):
    """The whole state."""

    sites: Records  # S of SITE
    links: Records  # S x D of LINK, by origin
    service: Records  # S x capacity: heaps of the work clock's values at which requests end
    events: Records  # heap of what is under way between the sites and in the users' heads
    requests: Records  # N of REQUEST, in the order of arrival within open loop, then within closed loop
    work: NDArray[np.float64]  # R x N
    path: NDArray[np.int32]  # N x attempts x (sender, destination)
    tally: Records  # 1 of TALLY


def build(scenario: Scenario, draws: Draws, mode: int) -> State:
    """Lay out the arrays of a scenario at time 0, with its open-loop arrivals and its users' first requests."""
    times, origins = draws.open_arrivals()
    asking = _first_questions(scenario, draws)
    attempts = 1 if mode == WEIGHTS else scenario.control.attempts + 1
    requests, work, path = _requests(draws, len(times) + 4 * len(asking), attempts)
    requests["arrival_s"][: len(times)] = times
    requests["origin"][: len(times)] = origins
    events = np.zeros(4 * len(asking) + 1024, HEAP_ENTRY)
    for place, (at_s, origin) in enumerate(asking):  # in ascending order, which is a heap
        events[place] = (at_s, origin * 4 + ASKS)
    tally = np.zeros(1, TALLY)
    control = scenario.control
    tally["mode"], tally["attempts"] = mode, control.attempts
    tally["open"] = tally["created"] = len(times)
    tally["events"] = len(asking)
    tally["bucket_depth"] = control.burst
    tally["grant_depth"] = control.grant_burst
    tally["timeout_s"] = np.inf if control.timeout_s is None else control.timeout_s
    tally["stop_s"] = scenario.duration_s
    sites = _sites(scenario, draws)
    service = np.zeros((len(sites), max(int(sites["servers"].max()) + 1, 64)), HEAP_ENTRY)
    return State(sites, _links(scenario, float(tally["grant_depth"][0])), service, events, requests, work, path, tally)


def _by_index(scenario: Scenario) -> list[tuple[int, object]]:
    order = {name: index for index, name in enumerate(scenario.sites)}
    return [(order[name], arrivals) for name, arrivals in scenario.arrivals.items()]


def _first_questions(scenario: Scenario, draws: Draws) -> list[tuple[float, int]]:
    """When each user asks first: after one thought, so that a crowd does not begin in one moment."""
    asking = []
    for index, arrivals in _by_index(scenario):
        if isinstance(arrivals, Users):
            thoughts = draws.first_thoughts(arrivals.users) * arrivals.think_s
            asking += [(float(thought), index) for thought in thoughts]
    return sorted(asking)


def _sites(scenario: Scenario, draws: Draws) -> Records:
    sites = np.zeros(len(scenario.sites), SITE)
    for index, site in enumerate(scenario.sites.values()):
        sites["servers"][index] = site.servers
        sites["server_rps"][index] = site.capacity_rps / site.servers
        sites["shared"][index] = site.discipline == "ps"
        sites["queue_limit"][index] = NOT_BOUNDED if site.queue_limit is None else site.queue_limit
        sites["row"][index] = draws.services.index(site.service)
    sites["factor"] = 1.0
    sites["next_departure"] = np.inf
    sites["first"] = sites["last"] = NO_REQUEST
    sites["inflight_limit"] = NOT_BOUNDED
    sites["home_weight"] = 1.0
    sites["bucket_rps"] = np.inf
    sites["bucket_level"] = scenario.control.burst
    sites["think_s"] = np.inf
    for index, arrivals in _by_index(scenario):
        if isinstance(arrivals, Users):
            sites["think_s"][index] = arrivals.think_s
    return sites


def _links(scenario: Scenario, grant_depth: float) -> Records:
    names = list(scenario.sites)
    most = max(1, *(sum(link.origin == name for link in scenario.links) for name in names))
    links = np.zeros((len(names), most), LINK)
    links["grant_rps"] = np.inf
    links["grant_level"] = grant_depth
    for origin, name in enumerate(names):
        mine = [link for link in scenario.links if link.origin == name]
        for place, link in enumerate(mine):
            links["peer"][origin, place] = names.index(link.peer)
            links["half_rtt_s"][origin, place] = link.rtt_ms / 2000.0
            links["turn"][origin, place] = place
    return links


def _requests(draws: Draws, count: int, attempts: int) -> tuple[Records, NDArray[np.float64], NDArray[np.int32]]:
    chance = draws.chance(count)
    requests = np.zeros(count, REQUEST)
    requests["choice"] = chance.choice
    requests["think"] = chance.think
    requests["answered_s"] = np.inf
    requests["destination"] = requests["link"] = requests["behind"] = NO_REQUEST
    return requests, chance.work, np.full((count, attempts, 2), NO_REQUEST, np.int32)


def grow_requests(state: State, draws: Draws) -> State:
    """Make room for as many requests again, with their draws."""
    requests, work, path = _requests(draws, max(1024, len(state.requests)), state.path.shape[1])
    return state._replace(
        requests=np.concatenate([state.requests, requests]),
        work=np.concatenate([state.work, work], axis=1),
        path=np.concatenate([state.path, path]),
    )


def grow_events(state: State, needed: int = 0) -> State:
    """Make room for twice the events, and at least for ``needed``."""
    more = max(needed, len(state.events))
    return state._replace(events=np.concatenate([state.events, np.zeros(more, HEAP_ENTRY)]))


def grow_service(state: State) -> State:
    """Make room for twice as many requests in service at each site."""
    return state._replace(service=np.concatenate([state.service, np.zeros_like(state.service)], axis=1))
