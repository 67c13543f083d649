from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import Link, Settings, Site, Snapshot
from spillover.optimum import random_snapshot, solve
from spillover.policies import get
from spillover.policies.distance import MOST_SITES, distance

HOME = {"edge1": {"edge1": 100}, "edge2": {"edge2": 100}}


def two_edges(demand1: float = 8.0, demand2: float = 2.0, *, rtt_ms: float = 10.0, **edge2: object) -> Snapshot:
    sites = {"edge1": Site("edge1", 10.0, demand1), "edge2": Site("edge2", 10.0, demand2, **edge2)}
    links = (Link("edge1", "edge2", rtt_ms, cost=1.0), Link("edge2", "edge1", rtt_ms))
    return Snapshot(sites, links)


def test_means_are_those_of_the_queues() -> None:
    found = distance(two_edges(), HOME)
    assert found is not None
    # M/M/1: 1 / (10 - 8) s for eight of ten requests, 1 / (10 - 2) s for two.
    assert found.mean_ms == pytest.approx(0.8 * 500.0 + 0.2 * 125.0)


def test_even_load_of_equal_sites_without_distance_is_the_optimum() -> None:
    found = distance(two_edges(rtt_ms=0.0), {"edge1": {"edge1": 625, "edge2": 375}, "edge2": {"edge2": 100}})
    assert found is not None
    assert (found.best_ms, found.gap) == (pytest.approx(200.0), pytest.approx(0.0, abs=1e-6))
    worse = distance(two_edges(rtt_ms=0.0), HOME)
    assert worse is not None
    assert worse.gap == pytest.approx(425.0 / 200.0 - 1.0)


def test_cost_counts_with_the_weight_that_it_has() -> None:
    snapshot = replace(two_edges(), settings=Settings(cost_weight_ms=1000.0))
    half = {"edge1": {"edge1": 50, "edge2": 50}, "edge2": {"edge2": 100}}
    dear, free = distance(snapshot, half), distance(two_edges(), half)
    assert dear is not None
    assert free is not None
    assert dear.mean_ms == pytest.approx((free.mean_ms or 0.0) + 0.4 * 1000.0)


def test_weights_that_saturate_a_site_or_meet_a_dead_one_have_no_mean() -> None:
    full = distance(two_edges(demand1=12.0), HOME)
    assert full is not None
    assert (full.mean_ms, full.gap) == (None, None)
    assert full.best_ms is not None
    dead = distance(two_edges(healthy=False, demand2=0.0), {"edge1": {"edge1": 90, "edge2": 10}})
    assert dead is not None
    assert (dead.mean_ms, dead.gap) == (None, None)


def test_demand_that_no_split_serves_has_no_best() -> None:
    found = distance(two_edges(demand1=15.0, demand2=6.0), HOME)
    assert found is not None
    assert (found.best_ms, found.gap) == (None, None)


@pytest.mark.parametrize(
    ("snapshot", "weights"),
    [
        (two_edges(age_s=3.5), HOME),
        (two_edges(0.0, 0.0), HOME),
        (two_edges(), {"edge1": {"edge1": 100}}),
        (two_edges(), {"edge1": {"edge1": 0}, "edge2": {"edge2": 100}}),
        (two_edges(), {"edge1": {"edge1": 50, "mars": 50}, "edge2": {"edge2": 100}}),
        (
            Snapshot({f"s{n}": Site(f"s{n}", 10.0, 1.0) for n in range(MOST_SITES + 1)}),
            {f"s{n}": {f"s{n}": 1} for n in range(MOST_SITES + 1)},
        ),
    ],
    ids=["missing", "idle", "no weights", "all weights 0", "not linked", "many"],
)
def test_distance_that_cannot_be_told_is_none(snapshot: Snapshot, weights: dict[str, dict[str, int]]) -> None:
    assert distance(snapshot, weights) is None


@given(st.integers(0, 400))
def test_best_is_that_of_the_reference_and_no_decision_is_better(seed: int) -> None:
    snapshot = random_snapshot(seed)
    if len(snapshot.sites) > MOST_SITES:
        return
    whole = replace(snapshot, settings=replace(snapshot.settings, max_utilisation=1.0))
    decision, _ = get("cooperative")(snapshot, None, total=1000)
    found = distance(snapshot, decision.weights)
    if found is None or found.best_ms is None:
        return
    assert found.gap is None or found.gap >= 0.0
    reference = solve(whole, tolerance=1e-4)
    if (
        snapshot.settings.cost_weight_ms == 0.0
        and reference.mean_ms is not None
        and not any(reference.shed_rps.values())
    ):
        # The reference keeps to each site's capacity, which may lie below its saturation.
        assert found.best_ms <= 1.005 * reference.mean_ms


@given(
    demand=st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e12)), min_size=3, max_size=3),
    capacity=st.lists(st.floats(1e-3, 1e6), min_size=3, max_size=3),
    rtt_ms=st.floats(0.0, 1e6),
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_any_demand_has_a_finite_distance_or_none(demand: list[float], capacity: list[float], rtt_ms: float) -> None:
    names = ("a", "b", "c")
    sites = {name: Site(name, capacity[place], demand[place]) for place, name in enumerate(names)}
    links = tuple(Link(origin, peer, rtt_ms) for origin in names for peer in names if origin != peer)
    found = distance(Snapshot(sites, links), {name: {name: 60, names[0]: 40} for name in names[1:]} | {"a": {"a": 1}})
    if found is not None:
        assert all(value is None or math.isfinite(value) for value in (found.mean_ms, found.best_ms, found.gap))
        assert found.gap is None or found.gap >= 0.0
