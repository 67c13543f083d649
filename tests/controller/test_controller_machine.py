"""A state machine that injects a fault between any two calls of the controller."""

from __future__ import annotations

import tempfile
from pathlib import Path

from controller_fakes import ORIGINS, SITES, World, broken
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spillover.clusters import Forbidden, Unauthorized, Unreachable

API_FAULTS = (Unreachable("no answer", retry_after_s=None), Unreachable("429", retry_after_s=2.0), Unauthorized("401"))
BROKEN_VALUES = (float("nan"), float("inf"), -1.0)
TARGETS = st.sampled_from(ORIGINS)
PLACES = st.sampled_from(SITES)


class Killed(BaseException):
    """Ends the controller between two calls, as SIGKILL would."""


class ControllerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.world = World.at(Path(self.directory.name))

    def teardown(self) -> None:
        self.directory.cleanup()

    @initialize(rates=st.tuples(*(st.sampled_from([0.0, 5.0, 9.99, 10.0, 20.0, 80.0]) for _ in SITES)))
    def begins_somewhere(self, rates: tuple[float, ...]) -> None:
        for site, rate_rps in zip(self.world.sites.values(), rates, strict=True):
            site.rate_rps = rate_rps

    @rule()
    def period(self) -> None:
        self.world.step()

    @rule()
    def sample_without_decision(self) -> None:
        self.world.pass_time(0.4)
        self.world.controller.sample()
        self.world.controller.retry()

    @rule(name=PLACES, rate_rps=st.floats(0.0, 500.0))
    def demand_changes(self, name: str, rate_rps: float) -> None:
        self.world.sites[name].rate_rps = rate_rps

    @rule(name=TARGETS, fault=st.sampled_from(API_FAULTS))
    def api_fails(self, name: str, fault: Exception) -> None:
        self.world.sites[name].api_error = fault

    @rule(name=TARGETS)
    def api_forbids(self, name: str) -> None:
        self.world.sites[name].api_error = Forbidden("forbidden")

    @rule(name=TARGETS)
    def api_returns(self, name: str) -> None:
        self.world.sites[name].api_error = None

    @rule(name=TARGETS, count=st.integers(1, 5))
    def others_write_between_read_and_write(self, name: str, count: int) -> None:
        self.world.sites[name].conflicts = count

    @rule(name=TARGETS)
    def answer_of_the_next_write_is_lost(self, name: str) -> None:
        self.world.sites[name].lost_answers = 1

    @rule(name=PLACES)
    def collector_fails(self, name: str) -> None:
        self.world.sites[name].sample_error = broken()

    @rule(name=PLACES, value=st.sampled_from(BROKEN_VALUES))
    def collector_lies(self, name: str, value: float) -> None:
        self.world.sites[name].broken_value = value

    @rule(name=PLACES)
    def collector_returns(self, name: str) -> None:
        self.world.sites[name].sample_error = self.world.sites[name].broken_value = None

    @rule(name=PLACES)
    def collector_restarts(self, name: str) -> None:
        self.world.sites[name].restart_collector()

    @rule(name=PLACES)
    def collector_hangs(self, name: str) -> None:
        self.world.reads.hung ^= {name}

    @rule(name=TARGETS)
    def api_hangs(self, name: str) -> None:
        self.world.writes.hung ^= {name}

    @rule(name=TARGETS, weights=st.sampled_from([(100, 0, 0), (0, 100, 0), (0, 0, 100), (34, 33, 33), (1, 98, 1)]))
    def person_edits(self, name: str, weights: tuple[int, int, int]) -> None:
        self.world.sites[name].edit(dict(zip(SITES, weights, strict=True)))

    @rule()
    def killed_and_started(self) -> None:
        self.world.start()

    @rule(name=TARGETS)
    def killed_between_the_writes_of_one_period(self, name: str) -> None:
        site, patch = self.world.sites[name], self.world.sites[name].patch_virtual_service_weights

        def die(*_: object, **__: object) -> None:
            raise Killed

        site.patch_virtual_service_weights = die  # type: ignore[method-assign,assignment]
        try:
            self.world.step()
        except Killed:
            pass
        finally:
            site.patch_virtual_service_weights = patch  # type: ignore[method-assign]
        self.world.start()

    @rule(hours=st.sampled_from([-1, 1]))
    def wall_clock_steps(self, hours: int) -> None:
        self.world.wall_s += 3600 * hours

    @precondition(lambda self: self.world.lines)
    @rule()
    def heals_and_converges(self) -> None:
        """Whatever happened: with all faults gone it settles, and then writes nothing, also after a restart."""
        for site in self.world.sites.values():
            site.sample_error = site.api_error = site.broken_value = None
            site.conflicts = site.lost_answers = 0
        self.world.reads.hung = set()
        self.world.writes.hung = set()
        self.world.steps(35)  # the longest backoff
        before = self.world.all_writes
        self.world.start()
        self.world.steps(4)
        assert self.world.all_writes == before
        wanted = self.world.last_tick["weights"]
        for name in ORIGINS:
            assert self.world.sites[name].weights == wanted[name]
            rate_rps = self.world.sites[name].rate_rps
            home = 100 if rate_rps < 10.0 else 100 * 10.0 / rate_rps
            assert abs(wanted[name][name] - home) < 1.0001

    @invariant()
    def every_virtual_service_was_valid_at_all_times(self) -> None:
        for name in ORIGINS:
            for weights in self.world.sites[name].history:
                assert sum(weights.values()) == 100
                assert min(weights.values()) >= 0
            self.world.sites[name].history.clear()


TestControllerMachine = ControllerMachine.TestCase
TestControllerMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
