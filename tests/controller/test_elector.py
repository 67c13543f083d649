"""Two controllers and one lease, from the first look to a takeover."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from leadership_fakes import Pair, Replica

from spillover.clusters import Forbidden, Unreachable

if TYPE_CHECKING:
    from pathlib import Path

HOME = {"edge1": 100, "edge2": 0, "cloud": 0}
DOUBLE = {"edge1": 50, "edge2": 17, "cloud": 33}
FROZEN = Unreachable("the API server did not answer within 1 s")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """The first replica leads and spills for edge1; the second watches."""
    pair = Pair(tmp_path)
    pair.sites["edge1"].rate_rps = 20.0
    pair.seconds(3)
    assert pair.leaders == [pair.replicas[0]]
    assert pair.sites["edge1"].weights == DOUBLE
    return pair


@pytest.fixture
def leader(pair: Pair) -> Replica:
    return pair.replicas[0]


@pytest.fixture
def follower(pair: Pair) -> Replica:
    return pair.replicas[1]


def test_both_are_ready_and_say_whether_they_lead(pair: Pair, leader: Replica, follower: Replica) -> None:
    assert [replica.controller.not_ready for replica in pair.replicas] == ["", ""]
    assert leader.last_tick["leading"]
    assert not follower.last_tick["leading"]
    assert follower.last_tick["written"] == []
    assert leader.events("leading", "not_leading") == [("leading", 1)]
    assert follower.events("leading", "not_leading") == [("not_leading", 0)]
    values = [replica.metrics.registry.get_sample_value("spillover_leading") for replica in pair.replicas]
    assert values == [1.0, 0.0]
    assert leader.metrics.registry.get_sample_value("spillover_epoch") == 1.0


def test_an_api_that_freezes_stops_the_leader_before_another_may_begin(
    pair: Pair, leader: Replica, follower: Replica
) -> None:
    leader.lease_line.fault = FROZEN
    seconds_led = 0
    while leader.leads:
        pair.second()
        seconds_led += 1
    assert seconds_led <= 4
    assert pair.leaders == []
    pair.seconds(6 - seconds_led)
    assert pair.leaders == [follower]
    assert leader.events("not_leading") == [("not_leading", 1)]
    assert follower.events("leading") == [("leading", 2)]


def test_an_api_that_freezes_for_both_stops_all_writing_and_nothing_else(pair: Pair) -> None:
    for replica in pair.replicas:
        replica.lease_line.fault = FROZEN
    pair.seconds(4)
    before = pair.sites["edge1"].writes
    pair.sites["edge1"].rate_rps = 40.0
    pair.seconds(30)
    assert (pair.sites["edge1"].writes, pair.sites["edge1"].weights) == (before, DOUBLE)
    assert all(replica.last_tick["demand_rpm"]["edge1"] == 2400.0 for replica in pair.replicas)
    for replica in pair.replicas:
        replica.heal()
    pair.seconds(2)
    assert pair.sites["edge1"].weights["edge1"] == 25


def test_a_killed_leader_is_replaced_after_the_lease_ends_and_the_first_decision_is_whole(
    pair: Pair, follower: Replica
) -> None:
    pair.sites["edge1"].rate_rps = 40.0
    pair.seconds(6, follower)
    assert follower.leads
    assert pair.sites["edge1"].weights["edge1"] == 25


def test_a_leader_that_is_asked_to_end_is_replaced_at_once(pair: Pair, leader: Replica, follower: Replica) -> None:
    leader.elector.release()
    assert pair.leases.holder == ""
    pair.second(follower)
    assert pair.leaders == [follower]
    assert pair.lease.epoch == 2


def test_a_leader_that_cannot_empty_the_lease_stops_all_the_same(leader: Replica) -> None:
    leader.lease_line.fault = FROZEN
    leader.elector.release()
    assert not leader.leads
    assert leader.events("not_leading") == [("not_leading", 1)]


def test_the_elector_ends_by_emptying_the_lease(pair: Pair, leader: Replica) -> None:
    stop = threading.Event()
    stop.set()
    leader.elector.run(stop)
    assert pair.leases.holder == ""


def test_a_failing_lease_is_logged_once_a_row_and_a_rest_that_was_asked_for_is_given(leader: Replica) -> None:
    leader.lease_line.fault = Unreachable("429", retry_after_s=3.0)
    assert [leader.elector.step(), leader.elector.step()] == [3.0, 3.0]
    leader.lease_line.fault = Forbidden("forbidden")
    assert leader.elector.step() == 1.0
    leader.lease_line.fault = ValueError("canary-7d1f")
    leader.elector.step()
    leader.heal()
    leader.elector.step()
    named = [line["event"] for line in leader.lines if line["event"].startswith("lease_")]
    assert named == ["lease_failed", "lease_back"]
    assert leader.metrics.registry.get_sample_value("spillover_errors_total", {"site": "", "kind": "lease"}) == 4.0
    assert "canary" not in str(leader.lines)


def test_steps_of_the_wall_clock_change_nothing(pair: Pair, leader: Replica) -> None:
    for offset_s in (3600.0, -3600.0, 0.0):
        for replica in pair.replicas:
            replica.wall_offset_s = offset_s * (1 - 2 * replica.number)
        pair.seconds(10)
    assert pair.leaders == [leader]
    assert pair.lease.epoch == 1


def test_a_lease_that_a_person_deleted_is_made_again_in_a_later_epoch(pair: Pair, leader: Replica) -> None:
    pair.leases.delete()
    pair.seconds(3)
    assert pair.leaders == [leader]
    assert pair.lease.epoch == 2


def test_a_write_that_was_under_way_at_a_takeover_is_refused(pair: Pair, leader: Replica, follower: Replica) -> None:
    leader.site_lines["edge1"].late_writes = 1
    pair.sites["edge1"].rate_rps = 40.0
    pair.second(leader)
    pair.sites["edge1"].rate_rps = 20.0
    pair.seconds(7, follower)
    assert follower.leads
    assert pair.deliver() == [False]
    assert pair.sites["edge1"].weights == DOUBLE


def test_a_leader_that_slept_between_its_look_at_the_clock_and_its_write_is_refused(
    pair: Pair, leader: Replica, follower: Replica
) -> None:
    # Of the tick's calls: edge1 is read, then written.
    leader.interrupt(2, lambda: pair.seconds(10, follower))
    pair.sites["edge1"].rate_rps = 40.0
    pair.pass_time(1.0)
    leader.tick()
    assert follower.leads
    assert pair.sites["edge1"].claims == 2
    assert [epoch for what, epoch, _ in pair.history if what.startswith("edge1")] == [1, 1, 2, 2]


def test_a_leader_that_meets_a_later_epoch_writes_nothing_and_stops(pair: Pair, leader: Replica) -> None:
    pair.sites["edge1"].virtual_service["metadata"]["annotations"]["spillover.dev/epoch"] = "9"
    pair.sites["edge1"].rate_rps = 40.0
    pair.second(leader)
    assert pair.sites["edge1"].weights == DOUBLE
    assert not leader.leads
    assert "belongs to epoch 9" in leader.last_tick["reasons"]["edge1"]
    assert leader.writer.failing == set()


def test_a_lease_younger_than_the_objects_goes_beyond_their_epoch(pair: Pair, leader: Replica) -> None:
    pair.sites["edge1"].virtual_service["metadata"]["annotations"]["spillover.dev/epoch"] = "9"
    pair.sites["edge1"].rate_rps = 40.0
    pair.seconds(3)
    assert pair.leaders == [leader]
    assert pair.lease.epoch == 10
    assert pair.sites["edge1"].weights["edge1"] == 25


@pytest.mark.parametrize("text", ["", "many", "-3", "0", "007", "9999999999", "٣"])
def test_an_epoch_that_is_none_is_put_right(pair: Pair, leader: Replica, text: str) -> None:
    pair.sites["edge1"].virtual_service["metadata"]["annotations"]["spillover.dev/epoch"] = text
    pair.second()
    assert pair.sites["edge1"].virtual_service["metadata"]["annotations"]["spillover.dev/epoch"] == "1"
    assert leader.leads


def test_an_object_without_annotations_is_claimed_once(pair: Pair) -> None:
    pair.seconds(10)
    assert [pair.sites[name].claims for name in ("edge1", "edge2")] == [1, 1]


def test_a_new_leader_claims_all_objects_of_the_fast_clock_at_once(tmp_path: Path) -> None:
    pair = Pair(tmp_path, mode="overflow", policy="cooperative")
    pair.seconds(8)
    first, second = pair.replicas
    for epoch, leader, frozen in ((2, second, first), (3, first, second)):
        frozen.lease_line.fault = FROZEN
        while not leader.leads:
            pair.second()
        frozen.heal()
        annotations = [made["metadata"].get("annotations") for made in pair.sites["edge1"].objects.values()]
        assert [each for each in annotations if each] == [{"spillover.dev/epoch": str(epoch)}] * 4


def test_a_takeover_in_a_long_period_does_not_wait_for_the_next_decision(tmp_path: Path) -> None:
    pair = Pair(tmp_path, window_s=60, period_s=60)
    first, second = pair.replicas
    pair.sites["edge1"].rate_rps = 20.0
    for _ in range(60):
        pair.pass_time(1.0)
        second.controller.sample()
    second.controller.tick()
    assert pair.sites["edge1"].weights == HOME
    first.elector.step()
    first.elector.release()
    second.elector.step()
    second.controller.sample()
    second.controller.retry()
    assert pair.sites["edge1"].weights == DOUBLE
