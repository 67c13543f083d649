"""When to send: arrival times drawn beforehand, and their shares among the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadtest.plan import LoadPlan, Stream

    Times = NDArray[np.float64]


class Arrival(NamedTuple):
    """One request of an open stream: its number in the whole plan, its time from the start, and its stream's index."""

    number: int
    at_s: float
    stream: int


def arrival_times(stream: Stream, duration_s: float, most: int) -> Times:
    """Draw the arrival times of an open stream.

    With R(t) the expected number of arrivals until t (the integral of the steps' rates), arrivals of a unit-rate
    process at u are arrivals of the stream at the t with R(t) = u. Even arrivals take u = 1/2, 3/2, …; Poisson arrivals
    take a running sum of exponentials with mean 1 (Cinlar 1975, inversion of a non-homogeneous Poisson process).

    Parameters
    ----------
    stream
        Rates, kind of arrivals and seed.
    duration_s
        End of the last step.
    most
        No more than this many times are drawn.

    Returns
    -------
    ndarray of float, shape (n,)
        Ascending times in [0, duration_s), in seconds.
    """
    steps = [step for step in stream.steps if step.from_s < duration_s]
    starts = np.array([step.from_s for step in steps] + [duration_s])
    rates = np.array([step.rps for step in steps])
    expected = np.concatenate([[0.0], np.cumsum(rates * np.diff(starts))])
    if stream.arrivals == "even":
        units = np.arange(min(most, int(np.ceil(expected[-1])) + 1)) + 0.5
    else:
        units = _unit_poisson(stream.seed, float(expected[-1]), most)
    units = units[units < expected[-1]]
    # side="right" steps over spans without arrivals, where R is flat and its inverse not unique.
    step = np.searchsorted(expected, units, side="right") - 1
    times: Times = starts[step] + (units - expected[step]) / rates[step]
    return times


def _unit_poisson(seed: int, until: float, most: int) -> Times:
    rng = np.random.default_rng(seed)
    units = np.cumsum(rng.exponential(size=min(most, int(until) + 1)))
    while len(units) < most and units[-1] < until:
        more = rng.exponential(size=min(most - len(units), 1024))
        units = np.concatenate([units, units[-1] + np.cumsum(more)])
    return units


def draw(plan: LoadPlan) -> tuple[list[Arrival], bool]:
    """Draw all open streams and merge them in order of time.

    Returns
    -------
    list of Arrival
        At most `plan.max_requests`, numbered from 0.
    bool
        Whether that limit cut the list.
    """
    drawn = [
        (float(time), index)
        for index, stream in enumerate(plan.streams)
        if stream.arrivals != "closed"
        for time in arrival_times(stream, plan.duration_s, plan.max_requests + 1)
    ]
    drawn.sort()
    kept = drawn[: plan.max_requests]
    return [Arrival(number, at_s, stream) for number, (at_s, stream) in enumerate(kept)], len(drawn) > len(kept)


def share(arrivals: list[Arrival], worker: int, workers: int) -> list[Arrival]:
    """Give every `workers`-th arrival to worker number `worker`, so that all shares have the same shape."""
    return arrivals[worker::workers]


def closed_budget(plan: LoadPlan, planned: int, worker: int, workers: int) -> int:
    """How many requests a worker's closed streams may send so that all workers keep within `max_requests`."""
    left = plan.max_requests - planned
    return left // workers + (1 if worker < left % workers else 0)
