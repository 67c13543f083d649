from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.sources.demand import DemandWindow
from spillover.sources.pods import PodCounter, PodReading

INTERVAL_S = 15.0


class Site:
    """A Prometheus, what it scraped of each pod, and the demand that a window makes of it."""

    def __init__(self, *pods: str) -> None:
        self.counter = PodCounter()
        self.window = DemandWindow(INTERVAL_S, INTERVAL_S)
        self.readings = {pod: PodReading(1000.0, 1e9) for pod in pods}
        self.now_s = 1e9

    def scrape(self, pod: str, total: float, at_s: float) -> float | None:
        self.now_s = 1e9 + at_s
        self.readings[pod] = PodReading(total, self.now_s)
        return self.ask()

    def ask(self) -> float | None:
        self.window.add(self.counter.add(self.readings, self.now_s), self.now_s)
        return self.window.demand(self.now_s).demand_rps


def test_one_pods_counter_becomes_a_rate_by_its_own_times() -> None:
    site = Site("a")
    site.ask()
    assert site.scrape("a", 1300.0, 15.0) == pytest.approx(20.0)
    assert site.scrape("a", 1620.0, 31.0) == pytest.approx(20.0)


def test_pods_that_are_scraped_in_turn_give_a_steady_sum() -> None:
    site = Site("a", "b")
    site.readings["b"] = PodReading(1000.0, 1e9 + 7.0)
    site.ask()
    rates = []
    for turn in range(1, 6):
        rates.append(site.scrape("a", 1000.0 + 150.0 * turn, 15.0 * turn))
        rates.append(site.scrape("b", 1000.0 + 75.0 * turn, 15.0 * turn + 7.0))
    assert rates == [None, *[pytest.approx(15.0)] * 9]


def test_round_in_which_one_pod_was_not_scraped_again_has_not_ended() -> None:
    site = Site("a", "b")
    site.ask()
    site.scrape("a", 1150.0, 15.0)
    sample = site.counter.add(site.readings, 1e9 + 20.0)
    assert (sample.requests_total, sample.sampled_at_s, sample.age_s) == (0.0, 1e9, 20.0)


def test_one_pod_that_began_again_costs_the_window_and_gives_no_spike() -> None:
    site = Site("a", "b")
    site.ask()
    site.scrape("a", 1150.0, 15.0)
    site.scrape("b", 1150.0, 15.0)
    site.scrape("a", 20.0, 30.0)
    assert site.scrape("b", 1300.0, 30.0) is None
    site.scrape("a", 170.0, 45.0)
    assert site.scrape("b", 1450.0, 45.0) == pytest.approx(20.0)


def test_pod_that_comes_brings_no_spike() -> None:
    site = Site("a")
    site.ask()
    site.scrape("a", 1150.0, 15.0)
    site.readings["b"] = PodReading(9e9, 1e9 + 29.0)
    assert site.scrape("a", 1300.0, 30.0) is None
    site.readings["b"] = PodReading(9e9 + 75, 1e9 + 44.0)
    assert site.scrape("a", 1375.0, 45.0) == pytest.approx(10.0)


def test_pod_that_leaves_takes_no_demand_with_it() -> None:
    site = Site("a", "b")
    site.ask()
    site.scrape("a", 1150.0, 15.0)
    assert site.scrape("b", 1150.0, 15.0) == pytest.approx(20.0)
    del site.readings["b"]
    assert site.scrape("a", 1450.0, 30.0) is None
    assert site.scrape("a", 1750.0, 45.0) == pytest.approx(20.0)


def test_all_pods_replaced_begin_anew() -> None:
    site = Site("a")
    site.ask()
    site.readings = {"c": PodReading(5.0, 1e9 + 1.0)}
    assert site.counter.add(site.readings, 1e9 + 2.0).continuous_since_s == 1e9 + 1.0
    assert site.counter.pods == {"c"}


def test_clock_that_went_back_is_not_waited_for() -> None:
    site = Site("a")
    site.ask()
    site.scrape("a", 1150.0, 15.0)
    assert site.scrape("a", 1300.0, -3600.0) is None
    assert site.scrape("a", 1450.0, -3585.0) == pytest.approx(10.0)


def test_age_is_that_of_the_pod_that_was_scraped_longest_ago() -> None:
    counter = PodCounter()
    sample = counter.add({"a": PodReading(1.0, 100.0), "b": PodReading(1.0, 112.0)}, 113.0)
    assert (sample.age_s, sample.gateways) == (13.0, 2)


@given(
    rounds=st.lists(
        st.dictionaries(
            st.sampled_from("abc"), st.tuples(st.integers(-1, 40), st.floats(0.5, 14.5)), min_size=1, max_size=3
        ),
        min_size=1,
        max_size=30,
    )
)
def test_rate_is_never_negative_and_never_above_what_the_pods_counted(
    rounds: list[dict[str, tuple[int, float]]],
) -> None:
    site, totals = Site(), dict.fromkeys("abc", 1000.0)
    for number, pods in enumerate(rounds):
        for pod in totals.keys() - pods.keys():
            site.readings.pop(pod, None)
        for pod, (rate_rps, offset_s) in pods.items():
            # -1: the counter began again
            totals[pod] = 0.0 if rate_rps < 0 else totals[pod] + rate_rps * 2 * INTERVAL_S
            demand_rps = site.scrape(pod, totals[pod], INTERVAL_S * number + offset_s)
            assert demand_rps is None or demand_rps >= 0
    # A pod counts at most 40 rps over two intervals, and two scrapes lie at least 0.5 s apart.
    assert site.ask() is None or site.ask() <= 3 * 40 * 2 * INTERVAL_S / 0.5
