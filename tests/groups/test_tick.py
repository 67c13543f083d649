from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from controller_fakes import World, broken

from spillover.clusters import Unreachable
from spillover.controller.writer import LEFT_ALONE
from spillover.groups.tick import Tick

if TYPE_CHECKING:
    from pathlib import Path


def fields(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "leading": True,
        "demand_rpm": {"edge1": 1200.0, "cloud": 0.0},
        "weights": {"edge1": {"edge1": 50, "cloud": 50}, "cloud": {"cloud": 100}},
        "saturated": False,
        "problems": {},
    }
    return values | changes


def test_what_leaves_is_the_weights_share_of_the_demand() -> None:
    assert Tick.of(fields(), None).spilled_rpm == {"edge1": 600.0, "cloud": 0.0}


@pytest.mark.parametrize("changes", [{"demand_rpm": {"edge1": None}}, {"weights": {}}, {"weights": {"edge1": {}}}])
def test_what_leaves_is_unknown_without_demand_or_decision(changes: dict[str, Any]) -> None:
    assert Tick.of(fields(**changes), None).spilled_rpm["edge1"] is None


def test_a_group_is_complete_once_every_demand_was_known_and_stays_so() -> None:
    lost = fields(demand_rpm={"edge1": None, "cloud": 0.0})
    first = Tick.of(lost, None)
    second = Tick.of(fields(), first)
    third = Tick.of(lost, second)
    assert [first.complete, second.complete, third.complete] == [False, True, True]
    assert third.missing == ["edge1"]


def test_a_site_that_is_left_alone_keeps_the_problem_that_it_had() -> None:
    first = Tick.of(fields(problems={"edge1": "not written: refused"}), None)
    second = Tick.of(fields(problems={"edge1": LEFT_ALONE}), first)
    assert second.problems == {"edge1": "not written: refused"}
    assert Tick.of(fields(problems={"edge1": "not written: hung"}), second).problems == {"edge1": "not written: hung"}
    assert Tick.of(fields(), second).problems == {}


def test_the_loops_own_ticks_are_understood(tmp_path: Path) -> None:
    world = World.at(tmp_path)
    world.sites["edge1"].rate_rps = 20.0
    world.steps(3)
    tick = Tick.of(world.last_tick, None)
    assert tick.demand_rpm["edge1"] == 1200.0
    assert tick.spilled_rpm["edge1"] == 600.0
    assert (tick.saturated, tick.problems, tick.leading, tick.complete) == (False, {}, True, True)
    world.sites["edge1"].api_error = Unreachable("the API server did not answer within 2 s")
    world.sites["edge2"].sample_error = broken()
    world.steps(6)
    tick = Tick.of(world.last_tick, tick)
    assert tick.problems["edge1"]
    assert tick.missing == ["edge2"]


def test_a_site_that_cannot_overflow_is_told_with_its_reason(tmp_path: Path) -> None:
    world = World.at(tmp_path, policy="cooperative", mode="overflow")
    world.sites["edge1"].objects.clear()
    world.steps(3)
    tick = Tick.of(world.last_tick, None)
    assert tick.overflow_supported["edge1"].startswith("the objects of overflow mode are absent")
    assert tick.overflow_supported["edge2"] == ""
    assert tick.propagated == {}


def test_a_demand_beyond_all_sites_is_a_tick_that_says_so(tmp_path: Path) -> None:
    world = World.at(tmp_path, policy="cooperative")
    for site in world.sites.values():
        site.rate_rps = 100.0
    world.steps(3)
    assert Tick.of(world.last_tick, None).saturated is True
