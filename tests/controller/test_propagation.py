from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from controller_fakes import World, host
from hypothesis import given
from hypothesis import strategies as st

from spillover.controller.propagation import (
    LEAST_REQUESTS,
    PERIODS,
    SETTLE_S,
    WINDOW_S,
    Period,
    Propagation,
    between,
    judge,
)
from spillover.sources.demand import CounterSample
from spillover.sources.envoy import GUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SITES = ("edge1", "edge2", "cloud")
KEYS = {site: f"{site}.example" for site in SITES}
TOLD = {"edge1": 50, "edge2": 30, "cloud": 20}
HOME = {"edge1": 100, "edge2": 0, "cloud": 0}

shares = st.lists(st.integers(0, 100), min_size=3, max_size=3).filter(any)


class Gateway:
    """An origin whose gateway draws destinations by the weights that are in force there."""

    def __init__(self, seed: int = 7) -> None:
        self.rng = Random(seed)  # noqa: S311
        self.known = Propagation("edge1", KEYS)
        self.now_s = 0.0
        self.total = 0
        self.flows = dict.fromkeys([*KEYS.values(), GUESTS], 0.0)

    def sample(self) -> CounterSample:
        return CounterSample(self.total, self.now_s, flows=dict(self.flows))

    def serve(self, in_force: Mapping[str, int], requests: int, guests: int = 0) -> None:
        self.total += requests
        for site in self.rng.choices(SITES, [in_force[site] for site in SITES], k=requests):
            self.flows[KEYS[site]] += 1
        self.flows[KEYS["edge1"]] += guests
        self.flows[GUESTS] += guests

    def steps(
        self, count: int, in_force: Mapping[str, int], told: Mapping[str, int], rps: int = 40
    ) -> list[str | None]:
        """Let seconds pass, and return what was known after each."""
        known = []
        for _ in range(count):
            self.now_s += 1.0
            self.serve(in_force, rps, guests=5)
            self.known.observe(self.sample(), told, self.now_s)
            known.append(self.known.known)
        return known


def test_what_goes_as_told_is_known_after_enough_requests() -> None:
    known = Gateway().steps(60, TOLD, TOLD)
    assert known[0] is None
    assert set(known[5:]) == {""}


def test_weights_that_are_stored_and_not_in_force_are_noticed_and_later_those_that_are() -> None:
    gateway = Gateway()
    gateway.steps(40, HOME, HOME)
    known = gateway.steps(30, HOME, TOLD)  # istiod is down: the gateway goes on with what it has
    assert set(known[: int(SETTLE_S)]) == {""}
    assert known[-1] is not None
    assert known[-1].startswith("edge1 got 1240 of 1240 requests, by the weights that are stored at most ")
    assert len(set(known)) == 2  # the words stay, whatever the numbers do
    assert gateway.steps(int(WINDOW_S) + 5, TOLD, TOLD)[-1] == ""


def test_a_write_that_takes_its_time_is_no_deviation() -> None:
    gateway = Gateway()
    gateway.steps(40, HOME, HOME)
    assert set(gateway.steps(int(SETTLE_S) - 1, HOME, TOLD) + gateway.steps(60, TOLD, TOLD)) == {""}


def test_too_few_requests_leave_the_last_word() -> None:
    gateway = Gateway()
    gateway.steps(40, TOLD, TOLD)
    assert set(gateway.steps(60, HOME, TOLD, rps=1)[int(WINDOW_S) :]) == {""}


def test_fewer_periods_than_it_takes_are_no_deviation() -> None:
    gateway = Gateway()
    wrong = Period(1000.0, 1000.0, {"edge1": 1000.0}, {"edge1": 0.0}, {"edge1": 0.0})
    assert judge([wrong])
    for _ in range(PERIODS - 1):
        gateway.known._conclude(judge([wrong]))
    assert gateway.known.known is None
    gateway.known._conclude(judge([wrong]))
    assert gateway.known.known


def test_another_application_at_the_door_means_that_nobody_can_say() -> None:
    gateway = Gateway()
    for _ in range(40):
        gateway.total += 30  # enter, and go to an application that these weights do not lead
        gateway.steps(1, TOLD, TOLD)
    assert gateway.known.known is None


@pytest.mark.parametrize("lost", [{"flows": {}}, {"requests_total": 0.0}, {"continuous_since_s": 1.5}])
def test_a_lost_interval_says_nothing(lost: dict[str, float]) -> None:
    flows = dict.fromkeys([*KEYS.values(), GUESTS], 5.0)
    first = CounterSample(10.0, 1.0, flows=flows)
    values = {"requests_total": 20.0, "sampled_at_s": 2.0, "flows": flows} | lost
    assert between(first, CounterSample(**values), KEYS, "edge1", [TOLD]) is None  # type: ignore[arg-type]


def test_a_sample_that_comes_twice_counts_once() -> None:
    gateway = Gateway()
    gateway.steps(10, HOME, HOME)
    for _ in range(20):
        gateway.known.observe(gateway.sample(), HOME, gateway.now_s + 10)
    assert len(gateway.known._periods) == 9


@given(weights=shares, seed=st.integers(0, 2**32), count=st.integers(LEAST_REQUESTS, 3000))
def test_chance_is_never_taken_for_a_deviation(weights: list[int], seed: int, count: int) -> None:
    told = dict(zip(SITES, weights, strict=True))
    gateway = Gateway(seed)
    before = gateway.sample()
    gateway.now_s = 1.0
    gateway.serve(told, count, guests=seed % 50)
    period = between(before, gateway.sample(), KEYS, "edge1", [told])
    assert period is not None
    assert judge([period]) == ""


@given(told=shares, in_force=shares)
def test_what_deviates_by_more_than_the_bounds_is_found_and_what_is_within_them_is_not(
    told: list[int], in_force: list[int]
) -> None:
    """With 4,000 requests chance explains 5.3 % at most, and the tolerance is 5 %."""
    wanted = [share / sum(told) for share in told]
    real = [share / sum(in_force) for share in in_force]
    mapping = dict(zip(SITES, wanted, strict=True))
    period = Period(4000.0, 4000.0, dict(zip(SITES, (4000.0 * it for it in real), strict=True)), mapping, mapping)
    farthest = max(abs(a - b) for a, b in zip(wanted, real, strict=True))
    found = judge([period])
    if farthest > 0.105:
        assert found
    if farthest < 0.05:
        assert found == ""


@given(st.integers(0, LEAST_REQUESTS - 1))
def test_fewer_requests_than_it_takes_say_nothing(count: int) -> None:
    period = Period(count, count, {"edge1": count}, {"edge1": 0.0}, {"edge1": 0.0})
    assert judge([period]) is None


EVENTS = ("propagated", "not_propagated")


def test_the_controller_says_once_that_weights_are_not_in_force_and_once_that_they_are(tmp_path: Path) -> None:
    world = World.at(tmp_path)
    site = world.sites["edge1"]
    site.rate_rps = 12.0
    site.flows = {host("edge1", name): 0.0 for name in SITES} | {GUESTS: 0.0}
    world.steps(40)
    in_force = dict(site.weights)
    assert world.controller.status is not None
    assert world.controller.status["sites"]["edge1"]["propagated"] == {"status": "True", "message": ""}
    site.in_force = in_force  # istiod is down
    site.rate_rps = 80.0
    world.steps(20)
    status = world.controller.status["sites"]["edge1"]["propagated"]
    kept = [line for line in world.lines if line["event"] in EVENTS]
    assert site.weights != in_force
    assert status["status"] == "False"
    assert [(line["event"], line["site"], line["why"]) for line in kept] == [
        ("not_propagated", "edge1", status["message"])
    ]
    assert world.last_tick["propagated"]["edge1"] == status["message"]
    assert world.metrics.registry.get_sample_value("spillover_propagated", {"site": "edge1"}) == 0.0
    site.in_force = None
    world.steps(40)
    assert [line["event"] for line in world.lines if line["event"] in EVENTS] == ["not_propagated", "propagated"]
    assert world.metrics.registry.get_sample_value("spillover_propagated", {"site": "edge1"}) == 1.0


def test_a_source_that_does_not_count_by_destination_leaves_it_unknown(tmp_path: Path) -> None:
    world = World.at(tmp_path)
    world.sites["edge1"].rate_rps = 40.0
    world.steps(40)
    assert world.controller.status is not None
    assert world.controller.status["sites"]["edge1"]["propagated"]["status"] == "Unknown"
