"""One simulation: the compiled kernel runs from one moment at which something is decided to the next."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spillover import policies
from spillover.model import SpilloverError
from spillover.simulator import kernel, state
from spillover.simulator.control import Control, Written
from spillover.simulator.draws import Draws
from spillover.simulator.scenario import MOST_REQUESTS, Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from spillover.model import Decision
    from spillover.policies import Policy
    from spillover.simulator.scenario import Scenario
    from spillover.simulator.state import State

MODES = {"weights": state.WEIGHTS, "overflow": state.OVERFLOW}
DISPATCHER = "sed"
"""Exists in the simulator only: it sees every queue with no delay."""

EVENT, APPLY, TICK = 0, 1, 2
"""What is due at one moment, in this order."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a simulation leaves.

    ``requests`` holds one record (``state.REQUEST``) a request, ``path`` its hops (requests x attempts x 2: the gateway
    that sent it and the site, as indices, -1 where there was none), ``written`` the weights as they came into force.
    """

    scenario: Scenario
    policy: str
    mode: str
    seed: int
    requests: NDArray[Any]
    path: NDArray[np.int32]
    weight_writes: int
    written: tuple[Written, ...]


def names() -> tuple[str, ...]:
    """Return the policies that can be simulated: all policies and the dispatcher."""
    return (*policies.NAMES, DISPATCHER)


def simulate(scenario: Scenario, policy: str = "cooperative", mode: str = "overflow", seed: int = 0) -> Run:
    """Simulate a scenario under a policy.

    Parameters
    ----------
    scenario : Scenario
        Sites, load, control and events.
    policy : str
        A policy's name, or ``sed``.
    mode : {"weights", "overflow"}
        How the policy acts on the mesh; ``sed`` acts by itself.
    seed : int
        At least 0; the same seed gives the same run.

    Returns
    -------
    Run
        Every request with its end.

    Raises
    ------
    SpilloverError
        If the policy or the mode is unknown, or the seed is negative.
    """
    if mode not in MODES:
        raise SpilloverError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if seed < 0:
        raise SpilloverError(f"seed must be at least 0, got {seed!r}")
    if policy not in names():
        raise SpilloverError(f"policy must be one of {', '.join(names())}, got {policy!r}")
    if policy == DISPATCHER:
        return _run(scenario, policy, mode, seed, None)
    return _run(scenario, policy, mode, seed, policies.get(policy))


def simulate_with(scenario: Scenario, decide: Policy, *, name: str, mode: str = "overflow", seed: int = 0) -> Run:
    """Simulate a scenario under a policy's function that is not registered; as ``simulate`` otherwise."""
    return _run(scenario, name, mode, seed, decide)


def _run(scenario: Scenario, policy: str, mode: str, seed: int, decide: Policy | None) -> Run:
    draws = Draws(scenario, seed)
    simulation = _Simulation(scenario, draws, state.SED if decide is None else MODES[mode], decide)
    simulation.run()
    created = int(simulation.state.tally["created"][0])
    control = simulation.control
    return Run(
        scenario=scenario,
        policy=policy,
        mode=mode,
        seed=seed,
        requests=simulation.state.requests[:created],
        path=simulation.state.path[:created],
        weight_writes=control.weight_writes if control else 0,
        written=tuple(control.written) if control else (),
    )


class _Simulation:
    """The state of a run and what is due next."""

    def __init__(self, scenario: Scenario, draws: Draws, mode: int, decide: Policy | None) -> None:
        self.scenario = scenario
        self.draws = draws
        self.state: State = state.build(scenario, draws, mode)
        self.control = None if decide is None else Control(scenario, decide, mode)
        self.index = {name: index for index, name in enumerate(scenario.sites)}

    def run(self) -> None:
        """Run to the end of the last request."""
        if self.control is None:
            _link_all(self.state, self.scenario)
        else:
            self.control.begin(self.state)
        for at_s, what in self._due():
            self._advance(at_s)
            if isinstance(what, Event):
                self._happen(what)
            elif self.control is not None:
                self.control.apply(self.state, what, at_s)
        self._advance(math.inf)

    def _due(self) -> Iterator[tuple[float, Event | Decision]]:
        """Yield events and decisions as they come into force; between them, tick.

        Ticks end with the arrivals: what is decided afterwards would move nothing.
        """
        due: list[tuple[float, int, int, Event | Decision | None]] = []
        for event in self.scenario.events:
            heapq.heappush(due, (event.at_s, EVENT, len(due), event))
        control = self.scenario.control
        if self.control is not None:
            heapq.heappush(due, (control.period_s, TICK, 1, None))
        while due:
            at_s, _, number, what = heapq.heappop(due)
            if what is not None:
                yield at_s, what
            elif self.control is not None and at_s < self.scenario.duration_s:
                heapq.heappush(due, ((number + 1) * control.period_s, TICK, number + 1, None))
                if self.control.running:
                    self._advance(at_s)
                    decision = self.control.tick(self.state, at_s)
                    heapq.heappush(due, (at_s + control.delay_s, APPLY, number, decision))

    def _advance(self, until_s: float) -> None:
        """Let the kernel run, with room for all that it needs."""
        while True:
            wanted = kernel.advance(self.state, until_s)
            if wanted == kernel.REACHED:
                return
            if wanted == kernel.MORE_EVENTS:
                self.state = state.grow_events(self.state)
            elif wanted == kernel.MORE_REQUESTS:
                if len(self.state.requests) > MOST_REQUESTS:
                    raise SpilloverError(f"users must send at most {MOST_REQUESTS} requests, got more by {until_s:g} s")
                self.state = state.grow_requests(self.state, self.draws)
            else:
                self.state = state.grow_service(self.state)

    def _happen(self, event: Event) -> None:
        if event.capacity_factor is None or event.site is None:
            if self.control is not None:
                self.control.obey(event)
            return
        site = self.index[event.site]
        pending = int(self.state.tally["events"][0] + self.state.sites["present"][site]) + kernel.SPARE_EVENTS
        if pending > len(self.state.events):
            self.state = state.grow_events(self.state, pending)
        kernel.set_factor(self.state, site, float(event.capacity_factor), float(event.at_s))


def _link_all(simulated: State, scenario: Scenario) -> None:
    """Let the dispatcher use every link."""
    for origin, name in enumerate(scenario.sites):
        simulated.sites["turns"][origin] = sum(link.origin == name for link in scenario.links)
