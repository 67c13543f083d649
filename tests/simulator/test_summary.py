from __future__ import annotations

import json

import numpy as np
import pytest
from simulator_helpers import Fixed, constant, even_work, link, scenario, site

from spillover.simulator.engine import simulate, simulate_with
from spillover.simulator.summary import count_loops, necessary_spill, summarise

FIELDS = [
    "policy", "mode", "seed", "requests", "mean_ms", "p50_ms", "p99_ms", "p999_ms", "goodput_rps", "shed_fraction",
    "timeout_fraction", "spilled_fraction", "necessary_spill_ratio", "weight_writes", "loops", "optimum_mean_ms",
    "lower_bound_ms", "gap",
]  # fmt: skip


def pair(arrivals, **more):
    sites = {"a": even_work(10), "b": even_work(10)}
    return scenario(sites, {"a": arrivals}, **({"links": [link("a", "b", 30)], "warmup_s": 20} | more))


def test_a_summary_has_the_contracts_fields_and_is_json(line):
    summary = summarise(simulate(line, "local", "weights", 7))
    assert list(summary) == FIELDS
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert (summary["policy"], summary["mode"], summary["seed"]) == ("local", "weights", 7)


def test_only_requests_after_the_warm_up_count():
    steps = [{"from_s": 0, "rps": 50}, {"from_s": 20, "rps": 0}, {"from_s": 99, "rps": 0.001}]
    summary = summarise(simulate(pair(steps), "local", "weights"))
    assert summary["requests"] == 0
    assert summary["mean_ms"] is None
    assert summary["shed_fraction"] is None


def test_requests_are_followed_to_their_end():
    steps = [{"from_s": 0, "rps": 0}, {"from_s": 90, "rps": 100}]
    run = simulate(pair(steps), "local", "weights")
    assert np.max(run.requests["answered_s"]) > 190
    assert summarise(run)["requests"] == len(run.requests)


def test_late_answers_are_counted_apart_and_not_as_latency():
    run = simulate(pair(constant(20), control={"timeout_s": 50}), "local", "weights")
    summary = summarise(run)
    assert summary["timeout_fraction"] > 0.5
    assert summary["p999_ms"] <= 50_000
    assert summary["goodput_rps"] * 80 == pytest.approx(summary["requests"] * (1 - summary["timeout_fraction"]))


def test_shed_requests_are_no_latency_and_no_goodput():
    sites = {"a": even_work(10, queue_limit=0)}
    summary = summarise(simulate(scenario(sites, {"a": constant(30)}), "local", "weights"))
    assert summary["shed_fraction"] == pytest.approx(0.75, abs=0.03)
    assert summary["p999_ms"] == pytest.approx(100)
    assert summary["goodput_rps"] * 100 == pytest.approx(summary["requests"] * (1 - summary["shed_fraction"]))


def test_the_necessary_spill_is_set_against_what_was_spilled():
    spread = Fixed({"a": {"a": 40, "b": 60}})
    summary = summarise(simulate_with(pair(constant(16), duration_s=1000), spread, name="f", mode="weights"))
    assert summary["spilled_fraction"] == pytest.approx(0.6, abs=0.02)
    assert summary["necessary_spill_ratio"] == pytest.approx(6 / (0.6 * 16), rel=0.05)
    assert summarise(simulate(pair(constant(4)), "local", "weights"))["necessary_spill_ratio"] is None


def test_the_necessary_spill_of_users_is_what_arrived_above_capacity():
    crowd = scenario({"a": site(10)}, {"a": {"users": 5, "think_s": 1}})
    run = simulate(crowd, "local", "weights")
    assert necessary_spill(run, run.requests) == 0


def test_the_gap_is_the_distance_from_the_optimum_of_constant_rates():
    exponential = scenario({"a": site(10)}, {"a": constant(5)}, duration_s=3000)
    summary = summarise(simulate(exponential, "local", "weights"))
    assert summary["optimum_mean_ms"] == pytest.approx(200, rel=1e-3)
    assert summary["lower_bound_ms"] == pytest.approx(200, rel=1e-3)
    assert summary["gap"] == pytest.approx(summary["mean_ms"] / summary["optimum_mean_ms"] - 1)


@pytest.mark.parametrize(
    "more",
    [
        {"arrivals": {"a": {"mean_rps": 5, "amplitude": 0.5, "period_s": 50}}},
        {"arrivals": {"a": {"users": 5, "think_s": 1}}},
        {"events": [{"at_s": 5, "site": "a", "capacity_factor": 0.5}]},
    ],
)
def test_varying_rates_have_no_optimum(more):
    arrivals = more.get("arrivals", {"a": constant(5)})
    varying = scenario({"a": site(10)}, arrivals, events=more.get("events", []))
    summary = summarise(simulate(varying, "local", "weights"))
    assert summary["optimum_mean_ms"] is None
    assert summary["gap"] is None


def test_varying_rates_are_bounded_by_the_shortest_way_to_an_answer():
    steps = [{"from_s": 0, "rps": 1}, {"from_s": 50, "rps": 2}]
    sites = {"a": site(10), "b": site(100)}
    near = scenario(sites, {"a": steps}, links=[link("a", "b", 30)])
    assert summarise(simulate(near, "local", "weights"))["lower_bound_ms"] == pytest.approx(40)


def test_a_loop_is_seen_in_the_path_of_a_request():
    run = simulate_with(pair(constant(5)), Fixed({"a": {"b": 100}}), name="f", mode="weights")
    assert count_loops(run) == 0
    run.path[3, 0, 0] = 1
    assert count_loops(run) == 1, "a peer that sends a guest on is a loop"


def test_a_second_visit_is_a_loop_except_at_home():
    full = pair(constant(1), control={"trigger": "inflight"})
    policy = Fixed({}, inflight_limit={"a": 0, "b": 0}, peer_order={"a": ("b",)})
    run = simulate_with(full, policy, name="f")
    assert run.path[0, :3, 1].tolist() == [0, 1, 0]
    assert count_loops(run) == 0
    run.path[0, 2] = (0, 1)
    assert count_loops(run) == 1
