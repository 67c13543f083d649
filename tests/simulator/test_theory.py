"""The simulator against queueing theory: each figure within the 99 % confidence interval of independent runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from simulator_helpers import Fixed, constant, interval, latencies_s, link, scenario, site

from spillover.simulator.engine import simulate, simulate_with
from spillover.simulator.state import SHED

RUNS = 30
UNCONTROLLED = {"period_s": 1000}
"""Nothing is decided in these tests: a tick a second would only take time."""


def erlang_b(servers: int, load: float) -> float:
    terms = [load**k / math.factorial(k) for k in range(servers + 1)]
    return terms[-1] / sum(terms)


def mean_in_mmc_s(servers: int, mu: float, rate: float) -> float:
    load = rate / mu
    blocked = erlang_b(servers, load)
    waits = blocked / (1 - load / servers * (1 - blocked))
    return 1 / mu + waits / (servers * mu - rate)


def means_s(sites: dict, arrivals: dict, **more) -> list[float]:
    long = scenario(sites, arrivals, duration_s=4000, warmup_s=400, control=UNCONTROLLED, **more)
    return [float(np.mean(latencies_s(simulate(long, "local", "weights", seed)))) for seed in range(RUNS)]


def assert_within(theory: float, values: list[float], *, at_most_off: float = 0.05) -> None:
    low, high = interval(values)
    assert low <= theory <= high
    assert (high - low) / 2 < at_most_off * theory, "the interval is too wide to say anything"


@pytest.mark.parametrize("discipline", ["fcfs", "ps"])
def test_mm1_has_the_mean_of_theory_under_both_disciplines(discipline):
    assert_within(1 / (10 - 8), means_s({"a": site(10, discipline=discipline)}, {"a": constant(8)}))


@pytest.mark.parametrize(("servers", "rate"), [(2, 8.5), (4, 8.5), (16, 9.0)])
def test_mmc_has_erlang_cs_mean(servers, rate):
    assert_within(mean_in_mmc_s(servers, 10 / servers, rate), means_s({"a": site(10, servers)}, {"a": constant(rate)}))


@pytest.mark.parametrize(
    "service",
    [{"distribution": "lognormal", "cv": 2.0}, {"distribution": "deterministic"}, {"distribution": "exponential"}],
)
def test_mg1_ps_does_not_feel_the_distribution(service):
    values = means_s({"a": site(10, discipline="ps", service=service)}, {"a": constant(7)})
    assert_within(1 / (10 - 7), values)


@pytest.mark.parametrize(
    ("service", "cv2"), [({"distribution": "deterministic"}, 0.0), ({"distribution": "lognormal", "cv": 1.5}, 2.25)]
)
def test_mg1_fcfs_has_the_mean_of_pollaczek_and_khinchine(service, cv2):
    load = 0.7
    theory = 0.1 + 0.1 * load / (1 - load) * (1 + cv2) / 2
    assert_within(theory, means_s({"a": site(10, service=service)}, {"a": constant(7)}))


def test_mmcc_loses_what_erlang_b_says():
    lossy = scenario(
        {"a": site(10, 4, queue_limit=0)}, {"a": constant(9)}, duration_s=4000, warmup_s=400, control=UNCONTROLLED
    )
    lost = []
    for seed in range(RUNS):
        requests = simulate(lossy, "local", "weights", seed).requests
        lost.append(float(np.mean(requests["status"][requests["arrival_s"] >= 400] == SHED)))
    assert_within(erlang_b(4, 9 / 2.5), lost)


def test_overflow_is_erlangs_overflow():
    """The peer's servers take what finds the home's busy: together they lose as one group does."""
    pair = scenario(
        {"home": site(9, 3, queue_limit=0), "peer": site(6, 2, queue_limit=0)},
        {"home": constant(8)},
        links=[link("home", "peer")],
        control={"trigger": "inflight", **UNCONTROLLED},
        duration_s=4000,
        warmup_s=400,
    )
    policy = Fixed({}, inflight_limit={"home": 3, "peer": 2})
    overflowed, lost = [], []
    for seed in range(RUNS):
        requests = simulate_with(pair, policy, name="fixed", seed=seed).requests
        counted = requests[requests["arrival_s"] >= 400]
        lost.append(float(np.mean(counted["status"] == SHED)))
        overflowed.append(float(np.mean(counted["sent"] > 1)))
    assert_within(erlang_b(3, 8 / 3), overflowed)
    assert_within(erlang_b(5, 8 / 3), lost)


def test_users_who_think_have_the_throughput_of_a_closed_network():
    """Machine repairmen: N users, one exponential server."""
    users, think_s, mu = 12, 1.0, 10.0
    weights = [math.factorial(users) / math.factorial(users - n) * (1 / (think_s * mu)) ** n for n in range(users + 1)]
    theory = mu * (1 - weights[0] / sum(weights))
    closed = scenario(
        {"a": site(mu)},
        {"a": {"users": users, "think_s": think_s}},
        duration_s=2000,
        warmup_s=200,
        control=UNCONTROLLED,
    )
    rates = []
    for seed in range(RUNS):
        arrivals = simulate(closed, "local", "weights", seed).requests["arrival_s"]
        rates.append(float(np.mean(arrivals >= 200) * len(arrivals) / 1800))
    assert_within(theory, rates)


def test_a_split_by_chance_makes_two_queues_and_a_round_trip():
    pair = scenario(
        {"a": site(10), "b": site(10)},
        {"a": constant(12)},
        links=[link("a", "b", 40)],
        control=UNCONTROLLED,
        duration_s=4000,
        warmup_s=400,
    )
    policy = Fixed({"a": {"a": 60, "b": 40}})
    means = [
        float(np.mean(latencies_s(simulate_with(pair, policy, name="f", mode="weights", seed=s)))) for s in range(RUNS)
    ]
    assert_within(0.6 / (10 - 7.2) + 0.4 * (0.040 + 1 / (10 - 4.8)), means)


def test_a_wave_brings_its_mean_rate():
    wave = {"mean_rps": 20, "amplitude": 0.8, "period_s": 50, "phase": 1.0}
    waves = scenario({"a": site(100)}, {"a": wave}, duration_s=500, control=UNCONTROLLED)
    rates = [len(simulate(waves, "local", "weights", seed).requests) / 500 for seed in range(RUNS)]
    assert_within(20.0, rates)
