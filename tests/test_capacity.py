"""Capacity learned from windows of simulated M/M/c queues."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.capacity import Estimate, Window, observed_rps, report_configured, update
from spillover.model import SpilloverError


def windows(arrivals_rps: float, capacity_rps: float, servers: int, seconds: int, seed: int = 0) -> list[Window]:
    """What an M/M/c queue looks like from outside, second by second."""
    random = np.random.default_rng(seed)
    free = np.zeros(servers)
    arrival, done = 0.0, []
    while arrival < seconds:
        arrival += random.exponential(1 / arrivals_rps)
        place = int(free.argmin())
        free[place] = max(free[place], arrival) + random.exponential(servers / capacity_rps)
        done.append((arrival, free[place]))
    start, end = np.array(done).T
    result = []
    for second in range(seconds):
        finished = (end >= second) & (end < second + 1)
        inside = np.clip(np.minimum(end, second + 1) - np.maximum(start, second), 0, None).sum()
        latency = float((end - start)[finished].mean()) if finished.any() else 0.0
        result.append(Window(float(finished.sum()), 1000 * latency, float(inside)))
    return result


def learn(seen: list[Window], servers: int, state: dict[str, Any] | None = None) -> tuple[Estimate, dict[str, Any]]:
    estimate = None
    for window in seen:
        estimate, state = update(state, window, servers=servers)
        state = json.loads(json.dumps(state))
    assert estimate is not None
    assert state is not None
    return estimate, state


@pytest.mark.parametrize("servers", [1, 4])
@pytest.mark.parametrize("utilisation", [0.3, 0.7, 0.95, 2.0])
def test_the_capacity_is_found_at_any_load(servers: int, utilisation: float) -> None:
    estimate, _ = learn(windows(utilisation * 50, 50, servers, 240), servers)
    assert estimate.capacity_rps == pytest.approx(50, rel=0.15)
    assert abs(estimate.capacity_rps / 50 - 1) < 3 * estimate.margin + 0.1


def test_a_backlogged_site_shows_its_capacity_exactly() -> None:
    assert observed_rps(Window(12, 1e6, 12_000), 1) == pytest.approx(12, rel=1e-3)


def test_a_nearly_idle_site_shows_its_service_time() -> None:
    assert observed_rps(Window(0.01, 83.3, 0.0), 4) == pytest.approx(4 / 0.0833, rel=1e-3)


def test_more_windows_make_it_surer() -> None:
    seen = windows(35, 50, 1, 120)
    few, _ = learn(seen[:12], 1)
    many, _ = learn(seen, 1)
    assert many.margin < few.margin


def test_a_site_that_loses_half_its_servers_is_believed_within_seconds() -> None:
    before, state = learn(windows(90, 50, 4, 60), 4)
    after, _ = learn(windows(90, 25, 4, 60, seed=1)[30:42], 4, state)
    assert before.capacity_rps == pytest.approx(50, rel=0.15)
    assert after.capacity_rps == pytest.approx(25, rel=0.2)


def test_one_odd_window_changes_nothing() -> None:
    sure, state = learn(windows(60, 50, 1, 60), 1)
    odd, _ = update(state, Window(500, 2, 1))
    assert odd is not None
    assert odd.capacity_rps == pytest.approx(sure.capacity_rps)


def test_an_idle_window_teaches_nothing() -> None:
    sure, state = learn(windows(60, 50, 1, 60), 1)
    idle, _ = update(state, Window(0, 0, 0))
    assert idle is not None
    assert idle.capacity_rps == pytest.approx(sure.capacity_rps)
    assert update(None, Window(0, 0, 0))[0] is None


def test_the_estimate_stays_within_its_bounds() -> None:
    state, estimate = None, None
    for window in windows(60, 50, 1, 20):
        estimate, state = update(state, window, lowest_rps=5, highest_rps=20)
    assert estimate is not None
    assert estimate.capacity_rps == pytest.approx(20)


def test_a_wrong_configured_value_is_reported_and_a_right_one_is_not() -> None:
    estimate = Estimate(12.0, 0.03, 60)
    assert report_configured(12.5, estimate) is None
    assert report_configured(24.0, None) is None
    assert report_configured(24.0, estimate) == (
        "the configured capacity of 24 rps is 100% above the 12 rps (give or take 3%) that the site shows"
    )
    assert "50% below" in str(report_configured(6.0, estimate))
    assert report_configured(15.0, Estimate(12.0, 0.4, 6)) is None


@pytest.mark.parametrize("values", [(-1, 1, 1, 1), (1, math.nan, 1, 1), (1, 1, math.inf, 1), (1, 1, 1, 0)])
def test_a_bad_window_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(SpilloverError, match="must be"):
        Window(*values)


def test_a_bad_state_is_refused() -> None:
    with pytest.raises(SpilloverError, match=r"state\.weight must be what this function returned"):
        update({"weight": "x"}, Window(1, 1, 1))


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.01, 100)), max_size=20),
    st.integers(1, 50),
)
def test_any_windows_give_a_positive_finite_estimate_or_none(seen: list[tuple[float, ...]], servers: int) -> None:
    state = None
    for values in seen:
        estimate, state = update(state, Window(*values), servers=servers)
        if estimate is not None:
            assert 0 < estimate.capacity_rps < math.inf
            assert 0 < estimate.margin <= 0.5
