from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import SpilloverError
from spillover.sources.demand import CounterSample, DemandWindow, by_class
from spillover.sources.fetch import SourceError


def rate_of(window: DemandWindow, now_s: float) -> float | None:
    return window.demand(now_s).demand_rps


def fill(window: DemandWindow, totals: list[float], *, step_s: float = 1.0, start_s: float = 100.0) -> float:
    now_s = start_s
    for index, total in enumerate(totals):
        now_s = start_s + index * step_s
        window.add(CounterSample(total, 5e8 + now_s), now_s)
    return now_s


def test_nothing_is_known_before_the_second_sample() -> None:
    window = DemandWindow(1.0, 1.0)
    assert window.demand(0.0).reason == "no sample has arrived yet"
    now_s = fill(window, [500.0])
    assert rate_of(window, now_s) is None


def test_rate_is_told_by_the_samples_own_time() -> None:
    window = DemandWindow(1.0, 1.0)
    window.add(CounterSample(100, 50.0), 7.0)
    window.add(CounterSample(124, 51.2), 8.0)
    assert rate_of(window, 8.0) == pytest.approx(20.0)


def test_window_of_a_minute_takes_the_minute_and_no_more() -> None:
    window = DemandWindow(60.0, 1.0)
    now_s = fill(window, [1000.0 * min(second, 60) for second in range(121)])
    assert rate_of(window, now_s) == 0.0
    assert len(window._samples) <= 62


def test_started_window_is_already_a_rate() -> None:
    window = DemandWindow(60.0, 1.0)
    now_s = fill(window, [20.0 * second for second in range(11)])
    assert rate_of(window, now_s) == pytest.approx(20.0)


def test_sample_older_than_three_intervals_is_missing_and_the_last_rate_is_kept() -> None:
    window = DemandWindow(1.0, 1.0)
    now_s = fill(window, [0.0, 10.0])
    assert rate_of(window, now_s + 3.0) == 10.0
    demand = window.demand(now_s + 3.1)
    assert (demand.demand_rps, demand.last_rps) == (None, 10.0)
    assert "3.1 s old" in demand.reason


def test_sample_handed_out_again_stays_as_old_as_it_is() -> None:
    window = DemandWindow(1.0, 1.0)
    now_s = fill(window, [0.0, 10.0])
    for second in range(1, 6):
        window.add(CounterSample(10.0, 5e8 + now_s), now_s + second)
    assert rate_of(window, now_s + 5.0) is None


def test_age_that_the_collector_states_counts() -> None:
    window = DemandWindow(1.0, 1.0)
    window.add(CounterSample(0.0, 50.0), 100.0)
    window.add(CounterSample(10.0, 51.0, age_s=2.5), 101.0)
    assert rate_of(window, 101.5) == 10.0
    assert rate_of(window, 101.6) is None


def test_counter_that_went_back_is_one_lost_sample_and_no_negative_rate() -> None:
    window = DemandWindow(1.0, 1.0)
    now_s = fill(window, [1000.0, 1010.0])
    window.add(CounterSample(3.0, 5e8 + now_s + 1), now_s + 1)
    assert rate_of(window, now_s + 1) is None
    window.add(CounterSample(13.0, 5e8 + now_s + 2), now_s + 2)
    assert rate_of(window, now_s + 2) == 10.0


def test_counter_that_lost_an_interval_is_not_asked_about_it() -> None:
    window = DemandWindow(1.0, 1.0)
    window.add(CounterSample(100, 50.0, continuous_since_s=10.0), 0.0)
    window.add(CounterSample(100, 51.0, continuous_since_s=51.0), 1.0)
    assert rate_of(window, 1.0) is None
    window.add(CounterSample(120, 52.0, continuous_since_s=51.0), 2.0)
    assert rate_of(window, 2.0) == 20.0


def test_clock_of_the_collector_that_went_back_begins_anew() -> None:
    window = DemandWindow(1.0, 1.0)
    fill(window, [0.0, 10.0])
    window.add(CounterSample(20.0, 50.0), 102.0)
    assert rate_of(window, 102.0) is None


def test_two_reads_in_quick_succession_are_no_rate() -> None:
    window = DemandWindow(1.0, 1.0)
    window.add(CounterSample(0, 50.0), 0.0)
    window.add(CounterSample(9, 50.1), 0.1)
    assert rate_of(window, 0.1) is None


def test_gap_is_averaged_over_not_piled_up() -> None:
    window = DemandWindow(1.0, 1.0)
    window.add(CounterSample(0, 50.0), 0.0)
    window.add(CounterSample(100, 60.0), 10.0)
    assert rate_of(window, 10.0) == pytest.approx(10.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("field", ["requests_total", "sampled_at_s", "continuous_since_s", "age_s"])
def test_sample_with_an_impossible_number_is_refused(field: str, value: float) -> None:
    values = {"requests_total": 1.0, "sampled_at_s": 1.0, "continuous_since_s": 1.0, "age_s": 0.0} | {field: value}
    with pytest.raises(SourceError, match=f"{field} must be a finite number of 0 or more, got"):
        CounterSample(**values)


def test_interval_above_the_window_is_refused() -> None:
    with pytest.raises(SpilloverError, match=r"interval_s must be above 0 and at most window_s 1, got 2"):
        DemandWindow(1.0, 2.0)


@given(
    increments=st.lists(st.one_of(st.integers(0, 50), st.just(-1)), min_size=2, max_size=60),
    window_s=st.sampled_from([1.0, 5.0, 60.0]),
)
def test_rate_is_never_negative_and_never_above_the_fastest_second(increments: list[int], window_s: float) -> None:
    window, total = DemandWindow(window_s, 1.0), 1000.0
    for second, increment in enumerate(increments):
        total = 0.0 if increment < 0 else total + increment  # -1: the counter began again
        window.add(CounterSample(total, 50.0 + second), float(second))
        rate_rps = rate_of(window, float(second))
        assert rate_rps is None or 0 <= rate_rps <= max(0, *increments)


CLASSES = ("gold", "api", "rest")


def counted(total: float, at_s: float, **classes: float) -> CounterSample:
    return CounterSample(total, at_s, by_class=classes)


def test_shares_of_the_classes_are_those_of_what_came_within_the_window() -> None:
    window = DemandWindow(1.0, 1.0)
    window.add(counted(1000, 50.0, gold=900, rest=100), 0.0)
    window.add(counted(1040, 51.0, gold=910, rest=120, api=10), 1.0)
    assert window.demand(1.0).shares == {"gold": 0.25, "rest": 0.5, "api": 0.25}


def test_shares_are_kept_while_the_demand_is_missing() -> None:
    window = DemandWindow(1.0, 1.0)
    window.add(counted(0, 50.0, gold=0, rest=0), 0.0)
    window.add(counted(10, 51.0, gold=5, rest=5), 1.0)
    window.demand(1.0)
    assert window.demand(9.0).demand_rps is None
    assert window.demand(9.0).shares == {"gold": 0.5, "rest": 0.5}


def test_what_belongs_to_no_class_or_to_an_unknown_one_is_the_last_ones() -> None:
    assert by_class(20.0, {"gold": 0.25, "retired": 0.5}, CLASSES) == {"gold": 5.0, "api": 0.0, "rest": 15.0}
    assert by_class(20.0, {}, CLASSES) == {"gold": 0.0, "api": 0.0, "rest": 20.0}


def test_number_of_a_class_that_cannot_be_is_refused() -> None:
    with pytest.raises(SourceError, match=r"by_class\.gold must be a finite number of 0 or more, got -1"):
        counted(1, 1.0, gold=-1)


@given(
    increments=st.lists(
        st.dictionaries(st.sampled_from([*CLASSES, "retired"]), st.integers(-5, 1000)), min_size=1, max_size=9
    ),
    total=st.integers(0, 10_000),
    classes=st.permutations(CLASSES).flatmap(lambda names: st.integers(1, 3).map(lambda size: names[:size])),
)
def test_rates_by_class_make_up_the_whole_whatever_was_counted(
    increments: list[dict[str, int]], total: int, classes: list[str]
) -> None:
    window, counts = DemandWindow(5.0, 1.0), dict.fromkeys(CLASSES, 0.0)
    window.add(CounterSample(0, 50.0, by_class=counts), 0.0)
    for second, grown in enumerate(increments, start=1):
        counts = counts | {name: max(0.0, counts.get(name, 0.0) + more) for name, more in grown.items()}
        window.add(CounterSample(total * second, 50.0 + second, by_class=counts), float(second))
    demand = window.demand(float(len(increments)))
    assert demand.demand_rps is not None
    rates = by_class(demand.demand_rps, demand.shares, classes)
    assert list(rates) == classes
    assert all(rate >= 0 for rate in rates.values())
    assert sum(rates.values()) == pytest.approx(demand.demand_rps, abs=1e-9)
