"""Everything that is left to chance, drawn beforehand from one seed.

Each purpose has a stream of its own, and a request keeps its draws whatever a policy does with it: two policies under
the same seed meet the same arrivals and the same work, so that their difference is theirs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spillover.simulator.scenario import Step, Users, Wave, mean_rps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spillover.simulator.scenario import Scenario, Service

    Floats = NDArray[np.float64]

CHANCE_STREAMS = 3
"""Streams before those of the origins: work, choices, thinking."""


class Chance(NamedTuple):
    """Draws of a run of requests.

    ``work`` (distributions x requests) has mean 1 and is divided by a server's rate; ``choice`` (requests) is uniform
    on [0, 1); ``think`` (requests) is exponential with mean 1.
    """

    work: Floats
    choice: Floats
    think: Floats


class Draws:
    """The streams of one simulation.

    Parameters
    ----------
    scenario : Scenario
        Whose arrivals and service distributions are drawn.
    seed : int
        The same seed gives the same draws.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        streams = np.random.SeedSequence(seed).spawn(CHANCE_STREAMS + len(scenario.sites))
        work, choice, think, *origins = streams
        self.services: list[Service] = list(dict.fromkeys(site.service for site in scenario.sites.values()))
        self._work = [np.random.default_rng(stream) for stream in work.spawn(len(self.services))]
        self._choice = np.random.default_rng(choice)
        self._think = np.random.default_rng(think)
        self._origins = dict(zip(scenario.sites, origins, strict=True))
        self._scenario = scenario

    def chance(self, count: int) -> Chance:
        """Draw for the next ``count`` requests."""
        rows = [draw_work(service, rng, count) for service, rng in zip(self.services, self._work, strict=True)]
        has_users = any(isinstance(arrivals, Users) for arrivals in self._scenario.arrivals.values())
        return Chance(
            work=np.stack(rows),
            choice=self._choice.random(count),
            think=self._think.standard_exponential(count) if has_users else np.zeros(count),
        )

    def first_thoughts(self, count: int) -> Floats:
        """Draw how long ``count`` users think before they begin, in units of their mean."""
        return self._think.standard_exponential(count)

    def open_arrivals(self) -> tuple[Floats, NDArray[np.int32]]:
        """Draw times (s, ascending) and origins (indices of sites) of all open-loop arrivals."""
        times, origins = [np.zeros(0)], [np.zeros(0, np.int32)]
        for index, name in enumerate(self._scenario.sites):
            arrivals = self._scenario.arrivals.get(name)
            if arrivals is None or isinstance(arrivals, Users):
                continue
            drawn = draw_arrivals(arrivals, self._scenario.duration_s, np.random.default_rng(self._origins[name]))
            times.append(drawn)
            origins.append(np.full(len(drawn), index, np.int32))
        all_times = np.concatenate(times)
        order = np.argsort(all_times, kind="stable")
        return all_times[order], np.concatenate(origins)[order]


def draw_work(service: Service, rng: np.random.Generator, count: int) -> Floats:
    """Draw ``count`` amounts of work with mean 1."""
    if service.distribution == "exponential":
        return rng.standard_exponential(count)
    if service.distribution == "deterministic":
        return np.ones(count)
    sigma2 = math.log1p((service.cv or 1.0) ** 2)
    work: Floats = np.exp(math.sqrt(sigma2) * rng.standard_normal(count) - sigma2 / 2)
    return work


def draw_arrivals(arrivals: tuple[Step, ...] | Wave, duration_s: float, rng: np.random.Generator) -> Floats:
    """Draw the times (s) of a Poisson process of varying rate on [0, duration_s)."""
    if isinstance(arrivals, Wave):
        highest = arrivals.mean_rps * (1 + arrivals.amplitude)
        even = unit_poisson(highest * duration_s, rng) / max(highest, 1e-300)
        swing = np.sin(2 * np.pi * even / arrivals.period_s + arrivals.phase)
        kept: Floats = even[rng.random(len(even)) * highest < arrivals.mean_rps * (1 + arrivals.amplitude * swing)]
        return kept
    edges = [0.0] if arrivals[0].from_s > 0 else []
    edges += [step.from_s for step in arrivals if step.from_s < duration_s] + [duration_s]
    counted = np.array([mean_rps(arrivals, 0.0, edge) * edge if edge > 0 else 0.0 for edge in edges])
    times: Floats = np.interp(unit_poisson(float(counted[-1]), rng), counted, np.array(edges))
    return times


def unit_poisson(length: float, rng: np.random.Generator) -> Floats:
    """Draw the points of a Poisson process of rate 1 on [0, length)."""
    points = np.zeros(0)
    end = 0.0
    while end < length:
        more = int(length - end + 6 * math.sqrt(length - end)) + 10
        gaps = rng.standard_exponential(more)
        gaps[0] += end
        points = np.concatenate([points, np.cumsum(gaps)])
        end = float(points[-1])
    return points[points < length]
