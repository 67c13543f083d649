"""The reference optimum against closed forms, a generic solver and the calibration of the standard scenarios."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from spillover.model import Link, Settings, Site, Snapshot
from spillover.optimum import solve
from spillover.optimum.queues import erlang_b, number_and_slope


def standard(edge1: float, servers: int = 1) -> Snapshot:
    """The three standard scenarios: two edges of 12 rps, a cloud of 24."""
    sites = {
        "edge1": Site("edge1", 12, edge1, servers),
        "edge2": Site("edge2", 12, 4, servers),
        "cloud": Site("cloud", 24, 0, 2),
    }
    pairs = [("edge1", "edge2", 10), ("edge1", "cloud", 40), ("edge2", "edge1", 10), ("edge2", "cloud", 40)]
    return Snapshot(sites, tuple(Link(*pair) for pair in pairs))


@pytest.mark.parametrize(("edge1", "mean_ms"), [(8, 119.9), (20, 156.4), (30, 240.8)])
def test_the_standard_scenarios_have_their_known_optimum(edge1: float, mean_ms: float) -> None:
    optimum = solve(standard(edge1))
    assert optimum.mean_ms == pytest.approx(mean_ms, abs=0.06)
    assert optimum.gap <= 1e-5
    assert sum(optimum.shed_rps.values()) == 0.0


def test_spilling_begins_where_the_closed_form_says() -> None:
    # y* = mu - sqrt(mu / (d + 1/mu_r)) for an M/M/1 home of 50 rps and an idle peer of the same speed 10 ms away
    threshold = 50 - math.sqrt(50 / (0.010 + 0.020))
    for factor, spills in ((0.95, False), (1.1, True)):
        sites = {"a": Site("a", 50, factor * threshold), "b": Site("b", 50)}
        flow = solve(Snapshot(sites, (Link("a", "b", 10),)), tolerance=1e-6).flow_rps["a"]
        assert (flow.get("b", 0.0) > 1e-3) is spills


def test_a_generic_solver_finds_no_better_split() -> None:
    sites = {"a": Site("a", 30, 27, 3), "b": Site("b", 20, 2), "c": Site("c", 40, 10, 4)}
    links = (Link("a", "b", 15), Link("a", "c", 5), Link("c", "b", 1))
    servers, rates = np.array([3.0, 1.0, 4.0]), np.array([10.0, 20.0, 10.0])

    def cost(x: np.ndarray) -> float:
        load = np.array([27 - x[0] - x[1], 2 + x[0] + x[2], 10 + x[1] - x[2]])
        return float(number_and_slope(load, servers, rates)[0].sum() + x @ [0.015, 0.005, 0.001])

    best = minimize(cost, [1.0, 1.0, 0.0], bounds=[(0, 8), (0, 19), (0, 9)], method="SLSQP", tol=1e-12)
    assert solve(Snapshot(sites, links)).mean_ms == pytest.approx(1000 * best.fun / 39, rel=2e-5)


def test_the_least_is_shed_and_the_least_important_first() -> None:
    settings = Settings(max_utilisation=0.9, classes=("gold", "lead"))
    sites = {"a": Site("a", 10, {"gold": 6, "lead": 8}), "b": Site("b", 10, {"gold": 12})}
    optimum = solve(Snapshot(sites, (Link("b", "a", 10),), settings))
    # 18 fit of 26; gold takes all 18: a keeps its 6, b keeps 9 and spills 3 to a, and 8 lead are shed at a.
    assert optimum.shed_rps == pytest.approx({"a": 8.0, "b": 0.0}, abs=1e-5)
    assert optimum.flow_rps["b"] == pytest.approx({"b": 9.0, "a": 3.0}, abs=1e-4)


def test_cost_moves_the_flow_but_is_not_in_the_mean() -> None:
    sites = {"a": Site("a", 10, 8), "b": Site("b", 10)}
    cheap = solve(Snapshot(sites, (Link("a", "b", 10),)))
    dear = solve(Snapshot(sites, (Link("a", "b", 10, cost=5),), Settings(cost_weight_ms=1000)))
    assert cheap.mean_ms is not None
    assert dear.flow_rps["a"] == pytest.approx({"a": 8.0})
    assert dear.mean_ms == pytest.approx(500)
    assert cheap.mean_ms < 500


def test_a_dead_home_spills_all_and_without_a_link_sheds_all() -> None:
    sites = {"a": Site("a", 10, 5, healthy=False), "b": Site("b", 10)}
    assert solve(Snapshot(sites, (Link("a", "b", 10),))).mean_ms == pytest.approx(210)
    alone = solve(Snapshot(sites))
    assert alone.mean_ms is None
    assert alone.shed_rps == {"a": 5.0, "b": 0.0}


def test_no_demand_has_no_mean() -> None:
    assert solve(Snapshot({"a": Site("a", 10)})).mean_ms is None


def test_erlang_b_is_the_sum_of_its_definition() -> None:
    for servers, load in ((1, 0.5), (3, 2.0), (10, 9.0)):
        terms = [load**k / math.factorial(k) for k in range(servers + 1)]
        assert erlang_b(np.array([load]), np.array([float(servers)]))[0] == pytest.approx(terms[-1] / sum(terms))
