"""The loop in overflow mode: what the proxies are told, and how seldom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from controller_fakes import World

from spillover.clusters import Unreachable
from spillover.controller.modes.overflow import SHORTEST_INTERVAL_S
from spillover.meshes.overflow.numbers import LARGEST_RPS

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS = 4


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two edges at half their capacity, told their numbers."""
    world = World.at(tmp_path, policy="cooperative", mode="overflow")
    world.steps(20)
    return world


def test_the_proxies_are_told_what_was_decided(world: World) -> None:
    told, wanted = world.sites["edge1"].numbers(), world.last_tick["numbers"]["edge1"]
    assert set(told) == {
        "bucket_rps", "inflight_limit", "last_limit", "weight.edge2", "weight.cloud", "grant_rps.edge2",
    }  # fmt: skip
    # Where only a full home is a reason to leave, the bucket keeps everything; a peer without weight stays an endpoint.
    assert told == pytest.approx(dict.fromkeys(told, 1) | {"bucket_rps": LARGEST_RPS} | wanted, rel=0.05)


def test_steady_demand_writes_nothing_more(world: World) -> None:
    before = world.all_writes
    world.steps(30)
    assert world.all_writes == before


def test_a_quiet_site_costs_one_read_a_period(world: World) -> None:
    before = world.sites["edge1"].reads
    world.steps(10)
    assert world.sites["edge1"].reads - before == 10


def test_a_crowd_changes_the_numbers_in_the_next_period(world: World) -> None:
    before = world.sites["edge1"].numbers()
    world.sites["edge1"].rate_rps = 25.0
    world.steps(2)
    after = world.sites["edge1"].numbers()
    assert after["weight.cloud"] != before["weight.cloud"]
    (written,) = [line for line in world.lines if line["event"] == "numbers_written"][-1:]
    assert written["origin"] in {"edge1", "edge2"}


def test_an_object_is_written_at_most_every_five_seconds(world: World) -> None:
    site = world.sites["edge1"]
    before = site.writes
    seconds = 60
    for second in range(seconds):
        site.rate_rps = 5.0 if second % 2 else 25.0
        world.step()
    assert 0 < site.writes - before <= OBJECTS * (seconds / SHORTEST_INTERVAL_S + 1)


def test_a_number_edited_by_a_person_is_put_right_in_as_many_periods_as_there_are_objects(world: World) -> None:
    before = world.sites["edge1"].numbers()
    (sidecar,) = (made for key, made in world.sites["edge1"].objects.items() if key[0] == "sidecars")
    sidecar["spec"]["ingress"][0]["connectionPool"]["http"]["http2MaxRequests"] = 99
    world.steps(OBJECTS)
    assert world.sites["edge1"].numbers() == before


def test_a_conflict_is_read_again_and_written(world: World) -> None:
    world.sites["edge1"].conflicts = 2
    world.sites["edge1"].rate_rps = 25.0
    world.steps(3)
    assert world.sites["edge1"].conflicts == 0
    assert "edge1" not in world.writer.failing


def test_a_failing_api_server_delays_no_other_site(world: World) -> None:
    world.sites["edge1"].api_error = Unreachable("the API server did not answer within 2 s")
    world.sites["edge2"].rate_rps = 25.0
    before = world.sites["edge2"].numbers()
    world.steps(2)
    assert world.sites["edge2"].numbers() != before
    assert "edge1" in world.writer.failing


def test_a_restarted_controller_writes_nothing_that_changes_nothing(world: World) -> None:
    before = world.all_writes
    world.start()
    world.steps(10)
    assert world.all_writes == before


def test_two_gateways_grant_together_what_one_granted(world: World) -> None:
    alone = world.sites["edge1"].numbers()
    world.sites["edge1"].gateways = 2
    world.steps(2)
    each = world.sites["edge1"].numbers()
    assert 2 * each["grant_rps.edge2"] == pytest.approx(alone["grant_rps.edge2"], rel=0.06)


def test_what_waits_at_a_site_lowers_what_it_keeps(world: World) -> None:
    before = world.last_tick["weights"]["edge1"]["edge1"]
    world.sites["edge1"].in_flight = 40.0
    world.steps(2)
    assert world.last_tick["in_flight"]["edge1"] == 40.0
    assert world.last_tick["weights"]["edge1"]["edge1"] < before


def test_replicas_divide_the_limits_among_themselves(world: World) -> None:
    world.sites["edge1"].in_flight = 6.0  # a limit that can be divided
    world.steps(10)
    alone = world.sites["edge1"].numbers()
    world.sites["edge1"].replicas = 3
    world.steps(10)
    each = world.sites["edge1"].numbers()
    assert each["inflight_limit"] == max(1, round(alone["inflight_limit"] / 3))
    assert each["last_limit"] < alone["last_limit"]


def test_a_site_without_a_replica_keeps_nothing_and_is_sent_nothing(world: World) -> None:
    before = world.last_tick["weights"]["edge1"]["edge1"]
    world.sites["edge1"].replicas = 0
    world.steps(2)
    assert world.last_tick["numbers"]["edge1"]["bucket_rps"] == 0.0
    assert world.last_tick["weights"]["edge1"]["edge1"] == 0
    assert world.last_tick["weights"]["edge2"]["edge1"] == 0
    world.sites["edge1"].replicas = 1
    world.steps(30)
    assert world.last_tick["weights"]["edge1"]["edge1"] == pytest.approx(before, abs=2)


def test_a_home_that_lost_its_last_replica_is_closed_at_once_even_just_after_a_write(world: World) -> None:
    site = world.sites["edge1"]
    site.replicas = 0
    world.steps(1)
    assert site.numbers()["bucket_rps"] < 0.001
    site.replicas = 1
    while site.numbers()["bucket_rps"] < 0.001:
        world.steps(1)
    site.replicas = 0
    world.steps(1)
    assert site.numbers()["bucket_rps"] < 0.001
