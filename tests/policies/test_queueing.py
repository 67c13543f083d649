"""M/M/c queues against closed forms, scipy and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.optimum.queues import erlang_b, number_and_slope
from spillover.policies.queueing import inverse_erlang_b, marginal, rate_at


def one(value: float) -> np.ndarray:
    return np.array([value])


def count(value: int) -> np.ndarray:
    return np.array([value], dtype=np.int64)


def test_one_server_is_mm1() -> None:
    found = marginal(one(6.0), count(1), one(10.0))
    assert found.number[0] == pytest.approx(6 / 4)
    assert found.slope[0] == pytest.approx(10 / 16)
    assert found.curvature[0] == pytest.approx(2 * 10 / 64)


def test_many_sites_at_once_agree_with_scipy() -> None:
    random = np.random.default_rng(0)
    servers = random.integers(1, 200, 500)
    rate = random.uniform(0.5, 5.0, 500)
    load = servers * random.uniform(0.01, 0.99, 500)
    assert 1.0 / inverse_erlang_b(load, servers) == pytest.approx(erlang_b(load, servers.astype(float)), rel=1e-9)
    number, slope = number_and_slope(load * rate, servers.astype(float), rate)
    found = marginal(load * rate, servers, rate)
    assert found.number == pytest.approx(number, rel=1e-9)
    assert found.slope == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize("servers", [1, 2, 5, 30, 64, 65, 300])
@pytest.mark.parametrize("utilisation", [0.3, 0.8, 0.97])
def test_derivatives_are_those_of_the_number(servers: int, utilisation: float) -> None:
    rate, step = utilisation * servers * 3.0, 1e-5 * servers
    low, mid, high = (marginal(one(rate + d), count(servers), one(3.0)) for d in (-step, 0.0, step))
    assert mid.slope[0] == pytest.approx((high.number[0] - low.number[0]) / (2 * step), rel=1e-5)
    assert mid.curvature[0] == pytest.approx((high.slope[0] - low.slope[0]) / (2 * step), rel=1e-4, abs=1e-9)


def test_beyond_the_cut_the_touching_parabola_goes_on() -> None:
    below, beyond = (marginal(one(rate), count(1), one(10.0), cut=0.9) for rate in (9.0, 12.0))
    assert beyond.slope[0] == pytest.approx(below.slope[0] + 3.0 * below.curvature[0])
    assert beyond.number[0] == pytest.approx(below.number[0] + 3.0 * below.slope[0] + 4.5 * below.curvature[0])


@pytest.mark.parametrize("servers", [1, 3, 16, 100])
def test_the_inverse_finds_the_rate_of_a_marginal(servers: int) -> None:
    rates = np.array([0.5, 0.8, 0.95, 0.995]) * servers * 4.0
    many = np.full(4, servers, dtype=np.int64)
    slopes = marginal(rates, many, np.full(4, 4.0)).slope
    if servers < 100:  # with 100 servers the curve is flat at half load
        assert rate_at(slopes, many, np.full(4, 4.0)) == pytest.approx(rates, rel=1e-4)
    else:
        assert rate_at(slopes, many, np.full(4, 4.0))[1:] == pytest.approx(rates[1:], rel=1e-4)


def test_the_inverse_stays_between_nothing_and_saturation() -> None:
    slopes = np.array([0.0, 0.1, 1e9])
    assert rate_at(slopes, np.full(3, 2, dtype=np.int64), np.full(3, 5.0)) == pytest.approx([0, 0, 9.999], abs=1e-3)
