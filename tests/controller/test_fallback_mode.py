"""Overflow mode with a site whose proxies cannot overflow: it has weights and none of the objects of the fast clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from controller_fakes import ORIGINS, World, raw_config

from spillover.clusters import Unreachable
from spillover.controller.config import parse_config
from spillover.controller.modes.fallback import LOOK_AGAIN_S

if TYPE_CHECKING:
    from pathlib import Path

ABSENT = "the objects of overflow mode are absent, so weights are written instead"
EVENTS = ("overflow_supported", "overflow_not_supported")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A crowd at edge1, whose proxies are too old; edge2 overflows."""
    world = World.at(tmp_path, policy="cooperative", mode="overflow")
    world.sites["edge1"].objects.clear()
    world.sites["edge1"].rate_rps = 25.0
    world.steps(20)
    return world


def changes(world: World) -> list[tuple[str, str]]:
    return [(line["event"], line["site"]) for line in world.lines if line["event"] in EVENTS]


def test_a_site_without_the_objects_gets_weights_and_the_others_get_numbers(world: World) -> None:
    told = world.sites["edge1"].weights
    assert told == world.last_tick["weights"]["edge1"]
    assert 0 < told["edge1"] < 100
    assert set(world.last_tick["numbers"]) == {"edge2"}
    assert not world.last_tick["problems"]
    written = {(line["event"], line["origin"]) for line in world.lines if line["event"].endswith("_written")}
    assert written == {("weights_written", "edge1"), ("numbers_written", "edge2")}


def test_its_peers_go_on_granting_it(world: World) -> None:
    assert world.sites["edge2"].numbers()["grant_rps.edge1"] > 1.0


def test_each_change_is_one_event_and_needs_no_restart(world: World, tmp_path: Path) -> None:
    assert changes(world) == [("overflow_not_supported", "edge1")]
    site, fresh = world.sites["edge1"], World.at(tmp_path).sites["edge1"]
    site.objects |= fresh.objects
    world.steps(int(LOOK_AGAIN_S) + 10)
    assert changes(world) == [("overflow_not_supported", "edge1"), ("overflow_supported", "edge1")]
    wanted = world.last_tick["numbers"]["edge1"]
    assert {name: site.numbers()[name] for name in wanted} == pytest.approx(wanted, rel=0.05, abs=1)
    site.objects.clear()
    world.steps(10)
    assert changes(world)[2:] == [("overflow_not_supported", "edge1")]
    assert "edge1" not in world.writer.failing


def test_the_objects_are_looked_for_only_now_and_then(world: World) -> None:
    before = world.sites["edge1"].reads
    world.steps(int(5 * LOOK_AGAIN_S))
    # One read of the weights a period, and of the four objects at each look.
    assert world.sites["edge1"].reads - before <= 5 * LOOK_AGAIN_S + 5 * 4


def test_one_object_that_somebody_deleted_is_an_error_and_no_reason_for_weights(tmp_path: Path) -> None:
    world = World.at(tmp_path, policy="cooperative", mode="overflow")
    world.steps(20)
    site = world.sites["edge1"]
    del site.objects["sidecars", "spillover-edgeapp"]
    before = site.history.copy()
    world.steps(10)
    assert "does not exist" in [line for line in world.lines if line["event"] == "write_failed"][-1]["error"]
    assert site.history == before
    assert not [event for event, _ in changes(world) if event == "overflow_not_supported"]


def test_an_api_server_that_is_down_says_nothing_about_the_objects(world: World) -> None:
    world.sites["edge2"].api_error = Unreachable("the API server did not answer within 2 s")
    world.steps(20)
    assert changes(world) == [("overflow_not_supported", "edge1")]


def test_without_a_virtual_service_it_is_said_that_nothing_can_be_written(tmp_path: Path) -> None:
    raw = raw_config(tmp_path, policy="cooperative", mode="overflow")
    for name in ORIGINS:
        raw["sites"][name] |= {"virtual_service": None, "destinations": {}}
    world = World(parse_config(raw))
    world.sites["edge1"].objects.clear()
    world.steps(3)
    assert "edge1 has no overflow objects, and no virtual_service" in world.last_tick["problems"]["edge1"]


def test_the_status_says_which_sites_can_overflow_and_why_others_cannot(world: World) -> None:
    status = world.controller.status
    assert status is not None
    found = {name: site["overflow_supported"] for name, site in status["sites"].items()}
    assert found == {
        "edge1": {"status": "False", "message": ABSENT},
        "edge2": {"status": "True", "message": ""},
        "cloud": {"status": "Unknown", "message": ""},
    }


def test_a_new_leader_looks_at_once(world: World, tmp_path: Path) -> None:
    world.sites["edge1"].objects |= World.at(tmp_path).sites["edge1"].objects
    world.writer.mode.forget()
    world.steps(2)
    assert changes(world)[-1] == ("overflow_supported", "edge1")
