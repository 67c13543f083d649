from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.sources.demand import DemandWindow
from spillover.sources.slots import Slot, SlotCounter

START_S = 1.79e9


def slots(*requests: float | None, first: int = 0) -> list[Slot]:
    begins = [START_S + 60.0 * (first + index) for index in range(len(requests))]
    return [Slot(begin, begin + 60.0, count) for begin, count in zip(begins, requests, strict=True)]


def demand_of(counter: SlotCounter, window: DemandWindow, now_s: float) -> float | None:
    for _ in range(30):
        sample = counter.sample(now_s)
        assert sample is not None
        window.add(sample, now_s)
    return window.demand(now_s).demand_rps


def test_first_list_is_a_demand_already() -> None:
    counter, window = SlotCounter(), DemandWindow(60.0, 60.0)
    assert counter.sample(START_S) is None
    counter.add(slots(60, 600, 1200))
    assert demand_of(counter, window, START_S + 200.0) == pytest.approx(20.0)


def test_slots_that_are_known_count_once() -> None:
    counter, window = SlotCounter(), DemandWindow(60.0, 60.0)
    counter.add(slots(600, 1200))
    counter.add(slots(600, 1200, 1800))
    counter.add(slots(1200, 1800, first=1))
    assert demand_of(counter, window, START_S + 200.0) == pytest.approx(30.0)
    last = counter.sample(START_S + 200.0)
    assert last is not None
    assert (last.requests_total, last.sampled_at_s, last.age_s) == (3000.0, START_S + 180.0, 20.0)


def test_value_that_comes_late_is_waited_for() -> None:
    counter, window = SlotCounter(), DemandWindow(60.0, 60.0)
    counter.add(slots(600, None, None))
    assert demand_of(counter, window, START_S + 190.0) == pytest.approx(10.0)
    counter.add(slots(600, 1200, None))
    assert demand_of(counter, window, START_S + 190.0) == pytest.approx(20.0)


def test_gap_costs_no_spike() -> None:
    counter, window = SlotCounter(), DemandWindow(60.0, 60.0)
    counter.add(slots(600))
    counter.add(slots(600, None, 1200))
    assert demand_of(counter, window, START_S + 190.0) == pytest.approx(20.0)


@given(st.lists(st.one_of(st.none(), st.integers(0, 6000)), min_size=1, max_size=30), st.integers(1, 5))
def test_rate_is_that_of_some_slot(counts: list[int | None], at_once: int) -> None:
    counter, window = SlotCounter(), DemandWindow(60.0, 60.0)
    for index in range(0, len(counts), at_once):
        counter.add(slots(*counts[max(0, index - 3) : index + at_once], first=max(0, index - 3)))
        sample = counter.sample(START_S + 60.0 * (index + at_once))
        if sample is not None:
            window.add(sample, START_S + 60.0 * (index + at_once))
            rate_rps = window.demand(sample.sampled_at_s).demand_rps
            assert rate_rps is None or 0 <= rate_rps <= max(count or 0 for count in counts) / 60.0 + 1e-9
