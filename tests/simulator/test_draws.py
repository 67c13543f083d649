from __future__ import annotations

import numpy as np
import pytest
from simulator_helpers import constant, scenario, site

from spillover.simulator.draws import Draws, draw_arrivals, draw_work, unit_poisson
from spillover.simulator.scenario import Service, Step, Wave


def test_steps_bring_their_rates_and_nothing_outside():
    steps = (Step(from_s=10.0, rps=100.0), Step(from_s=20.0, rps=0.0), Step(from_s=30.0, rps=400.0))
    times = draw_arrivals(steps, 40.0, np.random.default_rng(1))
    counted = np.histogram(times, bins=[0, 10, 20, 30, 40])[0]
    assert counted[0] == counted[2] == 0
    assert counted[1] == pytest.approx(1000, abs=4 * 1000**0.5)
    assert counted[3] == pytest.approx(4000, abs=4 * 4000**0.5)
    assert np.all(np.diff(times) >= 0)


def test_a_wave_rises_and_falls():
    wave = Wave(mean_rps=100.0, amplitude=1.0, period_s=40.0)
    times = draw_arrivals(wave, 40.0, np.random.default_rng(1))
    first, second = np.histogram(times, bins=[0, 20, 40])[0]
    assert first / second == pytest.approx((1 + 2 / np.pi) / (1 - 2 / np.pi), rel=0.2)


@pytest.mark.parametrize("length", [0.0, 0.01, 1.0, 5000.0])
def test_a_unit_process_stays_inside_its_length(length):
    points = unit_poisson(length, np.random.default_rng(0))
    assert np.all(points < length)
    assert len(points) == pytest.approx(length, abs=5 * length**0.5 + 1)


@pytest.mark.parametrize(
    ("service", "cv"),
    [
        (Service(), 1.0),
        (Service(distribution="deterministic"), 0.0),
        (Service(distribution="lognormal", cv=2.0), 2.0),
        (Service(distribution="lognormal"), 1.0),
    ],
)
def test_work_has_mean_one_and_its_coefficient_of_variation(service, cv):
    work = draw_work(service, np.random.default_rng(3), 400_000)
    assert np.mean(work) == pytest.approx(1.0, rel=0.02)
    assert np.std(work) == pytest.approx(cv, rel=0.1, abs=1e-12)


def test_another_origins_load_changes_no_arrivals_of_this_one():
    sites = {"a": site(10), "b": site(10)}
    alone = Draws(scenario(sites, {"a": constant(5)}), 4).open_arrivals()[0]
    times, origins = Draws(scenario(sites, {"a": constant(5), "b": constant(50)}), 4).open_arrivals()
    assert np.array_equal(alone, times[origins == 0])
