from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spillover.meshes.overflow import Rejected, UpdateCounts, update_counts, watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATISTICS = """\
cluster_manager.cds.update_rejected: 1
cluster_manager.cds.update_success: 7
http.outbound_0.0.0.0_8080;.rds.http.8080.update_rejected: 2
listener_manager.lds.update_success: 5
listener_manager.lds.update_success_time: 99
listener_manager.lds.update_time: P0(nan,1000)
"""


class Time:
    def __init__(self, counts: Sequence[tuple[float, Mapping[str, UpdateCounts]]]) -> None:
        self.now_s = 0.0
        self._counts = counts

    def clock(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s

    def read(self) -> Mapping[str, UpdateCounts]:
        return [counts for at_s, counts in self._counts if at_s <= self.now_s][-1]

    def watch(self) -> Mapping[str, UpdateCounts]:
        return watch(self.read, self._counts[0][1], wait_s=8, settle_s=1.5, clock=self.clock, sleep=self.sleep)


def counted(taken: int, rejected: int = 0) -> dict[str, UpdateCounts]:
    return {"gateway": UpdateCounts(taken, rejected)}


def test_updates_of_all_kinds_are_added_up_and_other_statistics_passed_over() -> None:
    assert update_counts(STATISTICS) == UpdateCounts(12, 3)


def test_what_is_taken_is_looked_at_a_while_longer_and_no_more() -> None:
    time = Time([(0.0, counted(4)), (1.0, counted(5)), (2.0, counted(6))])
    assert time.watch() == counted(6)
    assert time.now_s == pytest.approx(2.5)


def test_a_rejection_in_a_later_part_of_the_update_is_seen_at_once() -> None:
    time = Time([(0.0, counted(4, 1)), (1.0, counted(5, 1)), (2.0, counted(5, 3))])
    with pytest.raises(Rejected, match=r"^gateway rejected 2 updates$"):
        time.watch()
    assert time.now_s == pytest.approx(2.0)


def test_without_an_update_the_wait_ends() -> None:
    time = Time([(0.0, counted(4, 1))])
    assert time.watch() == counted(4, 1)
    assert time.now_s == pytest.approx(8.0)


def test_a_proxy_that_started_since_is_judged_from_0() -> None:
    assert Time([(0.0, counted(9, 4)), (1.0, counted(2, 0))]).watch() == counted(2, 0)
    with pytest.raises(Rejected, match=r"^gateway rejected 1 update$"):
        Time([(0.0, counted(9, 4)), (1.0, counted(2, 1))]).watch()
