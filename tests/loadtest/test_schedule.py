import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.plan import LoadPlan, Stream
from loadtest.schedule import arrival_times, closed_budget, draw, share


def stream(*steps, **options):
    rates = [{"from_s": from_s, "rps": rps} for from_s, rps in steps]
    return Stream(origin="edge1", url="http://127.0.0.1:1", steps=rates, **options)


def closed(users):
    return Stream(origin="edge1", url="http://127.0.0.1:1", arrivals="closed", users=users)


def plan(*streams, **options):
    return LoadPlan(streams=streams, **({"duration_s": 60} | options))


def test_even_arrivals_are_evenly_spaced():
    times = arrival_times(stream((0, 24), arrivals="even"), 60, 10_000)
    assert len(times) == 1440
    assert np.allclose(np.diff(times), 1 / 24)


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process():
    times = arrival_times(stream((0, 100), seed=3), 200, 100_000)
    assert len(times) == pytest.approx(20_000, abs=3 * 20_000**0.5)
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.03)


def test_the_same_seed_gives_the_same_times_and_another_seed_others():
    first, same, other = (arrival_times(stream((0, 20), seed=seed), 60, 10_000) for seed in (7, 7, 8))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_each_step_has_its_rate():
    times = arrival_times(stream((0, 5), (10, 50), (20, 0), (30, 10), arrivals="even"), 40, 10_000)
    counts, _ = np.histogram(times, bins=[0, 10, 20, 30, 40])
    assert counts.tolist() == [50, 500, 0, 100]


def test_nothing_arrives_before_the_first_step_or_after_the_end():
    times = arrival_times(stream((5, 10), (100, 10), arrivals="even"), 10, 10_000)
    assert len(times) == 50
    assert times[0] >= 5
    assert times[-1] < 10


@pytest.mark.parametrize("steps", [[(0, 0)], [(50, 10)]])
@pytest.mark.parametrize("arrivals", ["even", "poisson"])
def test_a_stream_without_demand_has_no_arrivals(steps, arrivals):
    assert len(arrival_times(stream(*steps, arrivals=arrivals), 40, 100)) == 0


def test_the_limit_keeps_the_first_of_the_same_times():
    many = arrival_times(stream((0, 50), seed=1), 60, 10_000)
    few = arrival_times(stream((0, 50), seed=1), 60, 10)
    assert np.array_equal(few, many[:10])


def test_streams_are_merged_in_order_of_time_and_numbered():
    arrivals, cut = draw(plan(stream((0, 5), seed=1), stream((0, 5), seed=2), closed(3)))
    assert not cut
    assert [arrival.number for arrival in arrivals] == list(range(len(arrivals)))
    assert [arrival.at_s for arrival in arrivals] == sorted(arrival.at_s for arrival in arrivals)
    assert {arrival.stream for arrival in arrivals} == {0, 1}


def test_the_hard_stop_in_count_cuts_the_plan():
    arrivals, cut = draw(plan(stream((0, 10), arrivals="even"), max_requests=100))
    assert (len(arrivals), cut) == (100, True)
    arrivals, cut = draw(plan(stream((0, 10), arrivals="even"), max_requests=600))
    assert (len(arrivals), cut) == (600, False)


@given(st.integers(1, 7), st.integers(0, 40), st.integers(0, 100))
def test_the_shares_are_the_plan_and_never_exceed_the_limit(workers, rps, left):
    a_plan = plan(stream((0, rps), arrivals="even"), closed(2), max_requests=max(1, rps * 60 + left))
    arrivals, _ = draw(a_plan)
    shares = [share(arrivals, worker, workers) for worker in range(workers)]
    assert sorted(arrival for one in shares for arrival in one) == arrivals
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    budgets = [closed_budget(a_plan, len(arrivals), worker, workers) for worker in range(workers)]
    assert sum(budgets) + len(arrivals) == a_plan.max_requests
