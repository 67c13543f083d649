from __future__ import annotations

import threading
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from controller_fakes import FakeClock
from prometheus_client import CollectorRegistry

from spillover.clusters import Exchange, Unauthorized, Unreachable
from spillover.controller.edges import Edges
from spillover.controller.metrics import ControllerMetrics
from spillover.controller.tokens import TokenKeeper, keep_token, renewed_after_s

LIFE_S = 3600
LOOK_S = 5.0


@dataclass
class FakeCluster:
    clock: FakeClock
    asked_s: list[float] = field(default_factory=list)
    exchanged: bool = False
    granted_s: float | None = LIFE_S
    error: Exception | None = None

    def exchange_token(self, life_s: int) -> Exchange | None:
        assert life_s == LIFE_S
        self.asked_s.append(self.clock.now_s)
        if self.error is not None:
            raise self.error
        if self.granted_s is None:
            return None
        self.exchanged = True
        return Exchange(self.granted_s, 2e9)


class World:
    def __init__(self, seed: int = 1) -> None:
        self.clock = FakeClock()
        self.wall_s = 1.79e9
        self.lines: list[dict[str, Any]] = []
        self.cluster = FakeCluster(self.clock)
        self.registry = CollectorRegistry()
        metrics = ControllerMetrics(self.registry)
        self.edges = Edges(self.clock, lambda: self.wall_s, self._log, metrics, Random(seed))  # noqa: S311  jitter
        self.keeper = TokenKeeper("edge1", self.cluster, LIFE_S, self.edges)

    def _log(self, event: str, fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"site": "edge1", **labels})

    def run(self, for_s: float) -> None:
        ends_s = self.clock.now_s + for_s
        while self.clock.now_s < ends_s:
            self.keeper.turn()
            self.clock.now_s += LOOK_S


@pytest.fixture
def world() -> World:
    return World()


def gaps(world: World) -> list[float]:
    return [after - before for before, after in zip(world.cluster.asked_s, world.cluster.asked_s[1:], strict=False)]


def test_the_stored_token_is_traded_at_once_and_each_working_one_when_a_third_of_its_life_is_over(world: World) -> None:
    world.run(4 * LIFE_S)
    assert world.cluster.asked_s[0] == 1000.0
    assert len(world.cluster.asked_s) >= 11
    assert all(0.3 * LIFE_S <= gap <= 0.37 * LIFE_S + LOOK_S for gap in gaps(world))
    assert world.metric("spillover_token_renewals_total") == len(world.cluster.asked_s)
    assert world.metric("spillover_token_expires_seconds") == world.wall_s + LIFE_S
    assert world.metric("spillover_stored_token_expires_seconds") == 2e9


@pytest.mark.parametrize(("draw", "after_s"), [(0.0, 1080.0), (0.5, 1200.0), (1.0, 1320.0)])
def test_jitter_moves_a_renewal_by_a_tenth(draw: float, after_s: float) -> None:
    assert renewed_after_s(3600, draw) == pytest.approx(after_s)


def test_sites_and_replicas_do_not_stay_in_step() -> None:
    worlds = [World(seed) for seed in range(10)]
    for world in worlds:
        world.run(LIFE_S / 2)
    assert len({world.cluster.asked_s[1] for world in worlds}) >= 5


def test_a_shorter_life_than_was_asked_for_is_kept_to(world: World) -> None:
    world.cluster.granted_s = 600
    world.run(2 * 600)
    assert all(180 <= gap <= 220 + LOOK_S for gap in gaps(world))


def test_a_step_of_the_wall_clock_changes_nothing(world: World) -> None:
    world.run(100)
    world.wall_s += 3600
    world.run(900)
    world.wall_s -= 7200
    assert len(world.cluster.asked_s) == 1
    world.run(400)
    assert len(world.cluster.asked_s) == 2


def test_a_renewal_that_fails_is_tried_again_long_before_the_token_expires_and_told_once(world: World) -> None:
    world.run(LOOK_S)
    world.cluster.error = Unreachable("no answer within 2 s")
    world.run(LIFE_S)
    tries = len(world.cluster.asked_s) - 1
    assert 40 <= tries <= 120
    assert max(gaps(world)[1:]) <= 60 + LOOK_S
    assert world.events == ["token_renewed", "token_not_renewed"]
    assert world.metric("spillover_errors_total", kind="token") == tries
    world.cluster.error = None
    world.run(2 * 60)
    assert world.events[-1] == "token_renewed"


def test_a_server_that_asks_for_time_gets_it(world: World) -> None:
    world.cluster.error = Unreachable("429", retry_after_s=300.0)
    world.run(290)
    assert len(world.cluster.asked_s) == 1


def test_a_working_token_that_was_refused_is_replaced_at_the_next_look(world: World) -> None:
    world.run(100)
    world.cluster.exchanged = False
    world.run(LOOK_S)
    assert len(world.cluster.asked_s) == 2


def test_a_site_that_refuses_what_is_stored_is_asked_ever_less_often(world: World) -> None:
    world.cluster.error = Unauthorized("the API server does not accept the credentials")
    world.run(600)
    assert len(world.cluster.asked_s) <= 25
    assert world.events == ["token_not_renewed"]


def test_the_words_of_an_unexpected_error_are_kept_out_of_the_log(world: World) -> None:
    world.cluster.error = RuntimeError("canary-31f0")
    world.run(LOOK_S)
    assert world.lines[-1]["error"] == "an unexpected RuntimeError"


def test_what_cannot_be_renewed_is_no_error(world: World) -> None:
    world.cluster.granted_s = None
    world.run(LIFE_S)
    assert world.lines == []
    assert world.metric("spillover_token_expires_seconds") is None


def test_the_thread_ends_with_the_process(world: World) -> None:
    stop = threading.Event()
    keep_token("edge1", world.cluster, LIFE_S, world.edges, stop)
    (thread,) = [it for it in threading.enumerate() if it.name == "token-edge1"]
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert len(world.cluster.asked_s) == 1
