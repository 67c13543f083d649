"""A site's capacity, learned while it serves: from throughput, latency and requests in flight.

Each window is read backwards through the M/M/c formula: the load ``a`` in servers at which the queue would hold as many
requests as were seen gives the capacity ``servers * throughput / a``. When the site is nearly idle that is
``servers / latency``, when it has a backlog it is its throughput, and in between both count. Short windows are joined
until they hold some completions (the formula is bent, so that noise in few of them would read as capacity), averaged in
logarithms, weighed by their completions, and forgotten over a minute; several windows in a row that do not fit make the
estimate start again, so that a site that has lost half of its servers is believed within seconds. The spread of the
windows says how sure the estimate is, and becomes the margin that ``cooperative`` leaves free.

Pure: what is learned goes out as a JSON-able state and comes back in with the next window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from spillover.model import LARGEST, SMALLEST, SpilloverError
from spillover.policies.queueing import marginal

FORGETTING_S = 60.0
"""A window's weight falls to 1/e in this time."""

FEWEST_COMPLETIONS = 50
"""Windows are joined until they hold this many."""

FEWEST_WINDOWS = 5
"""Joined windows before which there is no estimate."""

SURPRISES = 3
"""Windows in a row that must miss the estimate, on the same side, before it starts again."""

LEAST_MARGIN, MOST_MARGIN = 0.01, 0.5
WRONG_BY = 0.15
"""Relative distance from which a configured capacity is reported, if the estimate is surer than that."""


_NUMBERS = ("weight", "square", "sum", "spread", "completions", "time_ms", "presence", "duration_s")


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen of a site in one window.

    Parameters
    ----------
    throughput_rps : float
        Completed requests per second.
    latency_ms : float
        Their mean time in the site, waiting included.
    in_flight : float
        Mean number of requests in the site.
    duration_s : float
        Length of the window.

    Raises
    ------
    SpilloverError
        If a value is negative or not finite, or the duration is 0.
    """

    throughput_rps: float
    latency_ms: float
    in_flight: float
    duration_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("throughput_rps", "latency_ms", "in_flight", "duration_s"):
            value = getattr(self, name)
            if not 0.0 <= value <= LARGEST:
                raise SpilloverError(f"{name} must be a number of at least 0, got {value!r}")
        if self.duration_s <= 0.0:
            raise SpilloverError(f"duration_s must be above 0, got {self.duration_s!r}")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a site is believed to serve.

    Parameters
    ----------
    capacity_rps : float
        Best guess.
    margin : float
        Share of it that may be wrong: two standard errors; goes into ``Site.capacity_margin``.
    windows : float
        How many joined windows it rests on, by weight.
    """

    capacity_rps: float
    margin: float
    windows: float


def update(
    state: dict[str, Any] | None,
    window: Window,
    *,
    servers: int = 1,
    lowest_rps: float = SMALLEST,
    highest_rps: float = LARGEST,
) -> tuple[Estimate | None, dict[str, Any]]:
    """Learn from one window.

    Parameters
    ----------
    state : dict or None
        What the last call returned; None at first.
    window : Window
        What was seen.
    servers : int
        Requests that the site serves at the same time.
    lowest_rps, highest_rps : float
        Bounds of what is believed; an estimate never leaves them.

    Returns
    -------
    tuple of Estimate or None and dict
        None until there were enough windows with completions.
    """
    if not 0.0 < lowest_rps <= highest_rps:
        raise SpilloverError(f"lowest_rps must be above 0 and at most highest_rps, got {lowest_rps!r}, {highest_rps!r}")
    memory = _remembered(state)
    fade = math.exp(-window.duration_s / FORGETTING_S)
    for key in ("weight", "square", "sum", "spread"):
        memory[key] *= fade
    joined = _joined(memory, window)
    seen = None if joined is None else observed_rps(joined, servers)
    if joined is not None and seen is not None:
        value = math.log(min(max(seen, lowest_rps), highest_rps))
        _learn(memory, value, joined.throughput_rps * joined.duration_s)
    return _estimate(memory, lowest_rps, highest_rps), memory


def _joined(memory: dict[str, Any], window: Window) -> Window | None:
    """Add the window to those that wait, and return them as one once they hold enough completions."""
    completions = window.throughput_rps * window.duration_s
    memory["completions"] += completions
    memory["time_ms"] += completions * window.latency_ms
    memory["presence"] += window.in_flight * window.duration_s
    memory["duration_s"] += window.duration_s
    if memory["completions"] < FEWEST_COMPLETIONS:
        return None
    joined = Window(
        memory["completions"] / memory["duration_s"],
        memory["time_ms"] / memory["completions"],
        memory["presence"] / memory["duration_s"],
        memory["duration_s"],
    )
    memory |= dict.fromkeys(("completions", "time_ms", "presence", "duration_s"), 0.0)
    return joined


def observed_rps(window: Window, servers: int) -> float | None:
    """Return the capacity at which an M/M/c queue would look like this window, None without completions."""
    if window.throughput_rps <= 0.0:
        return None
    by_little = window.throughput_rps * window.latency_ms / 1000.0
    number = (window.in_flight + by_little) / 2.0 if window.in_flight > 0.0 else by_little
    if number <= 0.0:
        return None
    low, high = 0.0, float(servers)
    many, one = np.array([servers]), np.array([1.0])
    for _ in range(40):
        load = (low + high) / 2.0
        held = float(marginal(np.array([load]), many, one, cut=1.0 - 1e-9).number[0])
        low, high = (load, high) if held < number else (low, load)
    return servers * window.throughput_rps / max((low + high) / 2.0, 1e-12)


def report_configured(configured_rps: float, estimate: Estimate | None) -> str | None:
    """Return a sentence when a configured capacity is surely wrong, else None."""
    if estimate is None:
        return None
    ratio = configured_rps / estimate.capacity_rps
    if abs(ratio - 1.0) <= max(WRONG_BY, 1.5 * estimate.margin):
        return None
    side = "above" if ratio > 1.0 else "below"
    return (
        f"the configured capacity of {configured_rps:.3g} rps is {abs(ratio - 1.0):.0%} {side} "
        f"the {estimate.capacity_rps:.3g} rps (give or take {estimate.margin:.0%}) that the site shows"
    )


def _remembered(state: dict[str, Any] | None) -> dict[str, Any]:
    memory: dict[str, Any] = dict.fromkeys(_NUMBERS, 0.0) | {"misses": []}
    if state is None:
        return memory
    for key, value in state.items():
        if key == "misses" and isinstance(value, list) and len(value) <= SURPRISES:
            memory[key] = [(float(miss[0]), float(miss[1])) for miss in value]
        elif key in memory and isinstance(value, int | float) and math.isfinite(value):
            memory[key] = float(value)
        else:
            raise SpilloverError(f"state.{key} must be what this function returned, got {value!r}")
    return memory


def _learn(memory: dict[str, Any], value: float, weight: float) -> None:
    """Add a window, or put it aside while it does not fit; enough misfits in a row replace all that was learned."""
    mean, deviation = _moments(memory)
    surprise = value - mean
    settled = _windows(memory) >= FEWEST_WINDOWS
    if settled and abs(surprise) > 4.0 * max(deviation, 0.02):
        same_side = [miss for miss in memory["misses"] if (miss[0] > mean) == (surprise > 0.0)]
        memory["misses"] = [*same_side, (value, weight)]
        if len(memory["misses"]) < SURPRISES:
            return
        aside = memory["misses"]
        memory |= {"weight": 0.0, "square": 0.0, "sum": 0.0, "spread": 0.0}
        for old, its_weight in aside:
            _add(memory, old, its_weight)
    else:
        _add(memory, value, weight)
    memory["misses"] = []


def _add(memory: dict[str, Any], value: float, weight: float) -> None:
    memory["weight"] += weight
    memory["square"] += weight**2
    memory["sum"] += weight * value
    memory["spread"] += weight * value**2


def _windows(memory: dict[str, Any]) -> float:
    return memory["weight"] ** 2 / memory["square"] if memory["square"] > 0.0 else 0.0


def _moments(memory: dict[str, Any]) -> tuple[float, float]:
    if memory["weight"] <= 0.0:
        return 0.0, math.inf
    mean = memory["sum"] / memory["weight"]
    return mean, math.sqrt(max(memory["spread"] / memory["weight"] - mean**2, 0.0))


def _estimate(memory: dict[str, Any], lowest_rps: float, highest_rps: float) -> Estimate | None:
    windows = _windows(memory)
    if windows < FEWEST_WINDOWS * 0.9:
        return None
    mean, deviation = _moments(memory)
    error = deviation / math.sqrt(windows)
    capacity = min(max(math.exp(mean), lowest_rps), highest_rps)
    return Estimate(capacity, min(max(2.0 * error, LEAST_MARGIN), MOST_MARGIN), windows)
