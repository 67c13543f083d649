from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spillover.collector.counter import GatewayCounter, NamedCounter


def test_first_reading_is_the_baseline() -> None:
    count = GatewayCounter().add({"a": 5000.0}, 10.0)
    assert (count.requests_total, count.sampled_at_s, count.continuous_since_s, count.gateways) == (0.0, 10.0, 10.0, 1)


def test_increments_of_all_pods_are_summed() -> None:
    counter = GatewayCounter()
    counter.add({"a": 100.0, "b": 7.0}, 10.0)
    count = counter.add({"a": 110.0, "b": 10.0}, 11.0)
    assert (count.requests_total, count.gateways, count.continuous_since_s) == (13.0, 2, 10.0)


def test_new_pod_brings_none_of_its_past() -> None:
    counter = GatewayCounter()
    counter.add({"a": 100.0}, 10.0)
    assert counter.add({"a": 101.0, "b": 9000.0}, 11.0).requests_total == 1.0
    assert counter.add({"a": 101.0, "b": 9005.0}, 12.0).requests_total == 6.0


def test_pod_that_goes_takes_nothing_away() -> None:
    counter = GatewayCounter()
    counter.add({"a": 100.0, "b": 50.0}, 10.0)
    count = counter.add({"a": 104.0}, 11.0)
    assert (count.requests_total, count.gateways, count.continuous_since_s) == (4.0, 1, 10.0)


def test_pod_that_was_away_does_not_bring_what_it_counted_meanwhile() -> None:
    counter = GatewayCounter()
    counter.add({"a": 100.0, "b": 50.0}, 10.0)
    counter.add({"a": 100.0}, 11.0)
    assert counter.add({"a": 100.0, "b": 4000.0}, 12.0).requests_total == 0.0


def test_reset_adds_nothing_and_says_that_an_interval_is_lost() -> None:
    counter = GatewayCounter()
    counter.add({"a": 1000.0}, 10.0)
    counter.add({"a": 1020.0}, 11.0)
    count = counter.add({"a": 3.0}, 12.0)
    assert (count.requests_total, count.continuous_since_s) == (20.0, 12.0)
    assert counter.add({"a": 23.0}, 13.0).requests_total == 40.0


def test_rollout_of_the_only_gateway_is_a_lost_interval_not_a_silent_second() -> None:
    counter = GatewayCounter()
    counter.add({"a": 1000.0}, 10.0)
    assert counter.add({"b": 4.0}, 11.0).continuous_since_s == 11.0


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 1000).map(float), min_size=1), min_size=2, max_size=30
    )
)
def test_counter_only_grows_and_never_by_more_than_its_pods_did(readings: list[dict[str, float]]) -> None:
    counter = GatewayCounter()
    before = counter.add(readings[0], 0.0)
    for second, (old, new) in enumerate(pairwise(readings), start=1):
        count = counter.add(new, float(second))
        grown = sum(max(0.0, new[pod] - old[pod]) for pod in new.keys() & old.keys())
        assert 0.0 <= count.requests_total - before.requests_total <= grown
        before = count


def test_names_are_summed_over_pods_from_their_first_request() -> None:
    counter = NamedCounter()
    assert counter.add({"a": {"gold": 100.0}, "b": {}}) == {"gold": 0.0}
    assert counter.add({"a": {"gold": 103.0}, "b": {"gold": 4.0, "rest": 1.0}}) == {"gold": 7.0, "rest": 1.0}


def test_a_pod_that_is_new_or_began_again_adds_nothing_to_a_name() -> None:
    counter = NamedCounter()
    counter.add({"a": {"gold": 100.0}})
    assert counter.add({"a": {"gold": 3.0}, "b": {"gold": 900.0}}) == {"gold": 0.0}
    assert counter.add({"a": {"gold": 5.0}, "b": {"gold": 901.0}}) == {"gold": 3.0}
