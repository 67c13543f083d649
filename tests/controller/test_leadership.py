"""The rules of the lease, told by a clock that only moves when told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from spillover.controller.leadership import Leadership, Lease, LeaseTimes

TIMES = LeaseTimes(lease_duration_s=6, renew_deadline_s=4, retry_period_s=1)
NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
THEIRS = Lease("other", 7, 6.0, "2026-11-24T01:00:00.000000Z", "2026-11-24T01:59:59.000000Z", "41")


def stored(lease: Lease | None, version: str) -> Lease:
    assert lease is not None
    return replace(lease, version=version)


@pytest.fixture
def candidate() -> Leadership:
    return Leadership("me", TIMES)


@pytest.fixture
def leader(candidate: Leadership) -> Leadership:
    """Leads in epoch 1 since 100 s; the lease is version 1."""
    lead(candidate, None, 100.0)
    assert candidate.leading_epoch(100.0) == 1
    return candidate


def lead(candidate: Leadership, found: Lease | None, now_s: float) -> Lease:
    planned = candidate.plan(found, now_s, NOW)
    assert planned is not None
    candidate.wrote(planned, now_s)
    return planned


def test_who_never_wrote_does_not_lead(candidate: Leadership) -> None:
    assert candidate.plan(None, 100.0, NOW) is not None
    assert (candidate.leading_epoch(100.0), candidate.epoch) == (0, 0)


def test_a_lease_that_does_not_exist_is_made_in_epoch_1(candidate: Leadership) -> None:
    planned = candidate.plan(None, 100.0, NOW)
    at = "2026-11-24T02:00:00.000000Z"
    assert planned == Lease("me", 1, 6.0, acquired=at, renewed=at)
    assert planned.manifest("spillover-system", "controller") == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": "spillover-system", "name": "controller"},
        "spec": {
            "holderIdentity": "me", "leaseTransitions": 1, "leaseDurationSeconds": 6,
            "acquireTime": at, "renewTime": at,
        },
    }  # fmt: skip


def test_a_lease_is_read_as_it_was_written(candidate: Leadership) -> None:
    planned = stored(candidate.plan(None, 100.0, NOW), "12")
    assert Lease.of(planned.manifest("a", "b")) == planned


def test_an_empty_lease_is_free() -> None:
    assert Lease.of({"metadata": {"resourceVersion": "3"}}) == Lease(version="3")


def test_a_free_lease_is_taken_at_once_in_the_next_epoch(candidate: Leadership) -> None:
    planned = candidate.plan(replace(THEIRS, holder=""), 100.0, NOW)
    assert planned is not None
    assert (planned.holder, planned.epoch, planned.version) == ("me", 8, "41")


@pytest.mark.parametrize("hours", [-1, 0, 1, 24 * 365])
def test_anothers_lease_is_taken_when_it_has_not_changed_for_its_duration_by_our_clock(
    candidate: Leadership, hours: int
) -> None:
    now = NOW + timedelta(hours=hours)  # what stands in the lease may look as old as it likes
    assert candidate.plan(THEIRS, 100.0, now) is None
    assert candidate.plan(THEIRS, 105.9, now) is None
    planned = candidate.plan(THEIRS, 106.0, now)
    assert planned is not None
    assert planned.epoch == 8


def test_each_renewal_that_is_seen_starts_the_wait_anew(candidate: Leadership) -> None:
    for renewal in range(10):
        found = replace(THEIRS, version=str(41 + renewal))
        assert candidate.plan(found, 100.0 + 5 * renewal, NOW) is None
    assert candidate.plan(found, 150.9, NOW) is None
    assert candidate.plan(found, 151.0, NOW) is not None


def test_a_holder_that_asks_for_more_time_gets_it(candidate: Leadership) -> None:
    found = replace(THEIRS, duration_s=30.0)
    assert candidate.plan(found, 100.0, NOW) is None
    assert candidate.plan(found, 129.9, NOW) is None
    assert candidate.plan(found, 130.0, NOW) is not None


def test_a_leader_stops_at_the_deadline_whatever_happens(leader: Leadership) -> None:
    assert leader.leading_epoch(103.999) == 1
    assert leader.leading_epoch(104.0) == 0


def test_the_deadline_counts_from_the_beginning_of_the_write(candidate: Leadership) -> None:
    planned = candidate.plan(None, 100.0, NOW)
    assert planned is not None
    candidate.wrote(planned, begun_s=100.0)  # answered at 103.5
    assert candidate.leading_epoch(103.5) == 1
    assert candidate.leading_epoch(104.5) == 0


def test_a_renewal_keeps_epoch_and_time_of_acquisition(leader: Leadership) -> None:
    found = Lease("me", 1, 6.0, acquired="then", renewed="then", version="1")
    renewal = lead(leader, found, 103.0)
    assert (renewal.epoch, renewal.acquired, renewal.version) == (1, "then", "1")
    assert leader.leading_epoch(106.9) == 1


def test_a_renewal_differs_also_when_the_wall_clock_stands_still(leader: Leadership) -> None:
    first = stored(leader.plan(Lease("me", 1, version="1"), 101.0, NOW), "2")
    second = leader.plan(first, 102.0, NOW)
    assert second is not None
    assert second.renewed != first.renewed


def test_a_leader_that_was_late_goes_on_in_its_epoch_if_nobody_came(leader: Leadership) -> None:
    assert leader.leading_epoch(120.0) == 0
    assert lead(leader, Lease("me", 1, version="1"), 120.0).epoch == 1
    assert leader.leading_epoch(121.0) == 1


def test_an_acquisition_whose_answer_was_lost_is_repeated_in_another_epoch(candidate: Leadership) -> None:
    lost = candidate.plan(None, 100.0, NOW)
    again = candidate.plan(stored(lost, "1"), 101.0, NOW)
    assert again is not None
    assert again.epoch == 2


def test_a_leader_that_sees_another_in_the_lease_stops_at_once(leader: Leadership) -> None:
    assert leader.plan(Lease("other", 2, 6.0, version="2"), 101.0, NOW) is None
    assert leader.leading_epoch(101.0) == 0


def test_a_leader_whose_lease_was_emptied_begins_anew(leader: Leadership) -> None:
    assert lead(leader, Lease("", 1, version="2"), 101.0).epoch == 2


def test_a_leader_whose_lease_was_deleted_stops_and_goes_beyond_its_epoch(leader: Leadership) -> None:
    planned = leader.plan(None, 101.0, NOW)
    assert leader.leading_epoch(101.0) == 0
    assert planned is not None
    assert (planned.epoch, planned.version) == (2, "")


def test_a_later_epoch_at_a_site_ends_the_leadership(leader: Leadership) -> None:
    leader.superseded(9)
    assert leader.leading_epoch(100.5) == 0
    leader.wrote(Lease("me", 1), 100.5)  # a renewal that was under way
    assert leader.leading_epoch(100.6) == 0


def test_who_has_met_a_later_epoch_goes_beyond_it(leader: Leadership) -> None:
    leader.superseded(9)
    assert lead(leader, Lease("me", 1, version="1"), 101.0).epoch == 10
    assert leader.leading_epoch(101.0) == 10


def test_an_earlier_epoch_at_a_site_changes_nothing(leader: Leadership) -> None:
    leader.superseded(1)
    assert leader.leading_epoch(100.5) == 1


def test_who_stops_leads_no_more_and_empties_the_lease(leader: Leadership) -> None:
    leader.stop()
    assert leader.leading_epoch(100.5) == 0
    found = Lease("me", 1, 6.0, "then", "then", "1")
    freed = leader.freed(found, NOW)
    assert freed is not None
    assert (freed.holder, freed.epoch, freed.version) == ("", 1, "1")
    assert leader.plan(found, 101.0, NOW) is None


@pytest.mark.parametrize("found", [None, THEIRS, replace(THEIRS, holder="")])
def test_nothing_is_freed_that_is_not_ours(leader: Leadership, found: Lease | None) -> None:
    leader.stop()
    assert leader.freed(found, NOW) is None
