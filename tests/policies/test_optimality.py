"""cooperative against the reference optimum, which is found by another method."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from spillover.model import Settings, Snapshot
from spillover.optimum import random_snapshot, solve
from spillover.policies import get
from spillover.policies.layout import Layout

if TYPE_CHECKING:
    from spillover.model import Decision

BATCHES, EACH = 10, 50


def weights_mean_ms(snapshot: Snapshot, decision: Decision) -> float:
    """The predicted mean of the integer weights, by the same formula as that of the split."""
    layout = Layout.of(snapshot)
    place = {name: index for index, name in enumerate(layout.names)}
    edges = zip(layout.origin.tolist(), layout.destination.tolist(), strict=True)
    edge = {pair: index for index, pair in enumerate(edges)}
    flow = np.zeros(len(layout.origin))
    for origin, row in decision.weights.items():
        served = snapshot.sites[origin].demand_total_rps - decision.shed_rps[origin]
        for peer, units in row.items():
            flow[edge[place[origin], place[peer]]] = served * units / sum(row.values())
    mean = layout.mean_ms(flow)
    assert mean is not None
    return mean


@pytest.mark.parametrize("batch", range(BATCHES))
def test_split_and_weights_are_near_the_optimum_and_the_least_is_shed(batch: int) -> None:
    for seed in range(batch * EACH, (batch + 1) * EACH):
        snapshot = random_snapshot(seed)
        best = solve(snapshot, tolerance=1e-4)
        decision, _ = get("cooperative")(snapshot, None, total=10_000)
        demand = math.fsum(site.demand_total_rps for site in snapshot.sites.values())
        shed, least = math.fsum(decision.shed_rps.values()), math.fsum(best.shed_rps.values())
        assert decision.predicted_mean_ms == pytest.approx(best.mean_ms, rel=0.005), f"seed {seed}"
        assert shed == pytest.approx(least, abs=1e-5 * demand), f"seed {seed}"
        assert weights_mean_ms(snapshot, decision) <= 1.01 * best.mean_ms, f"seed {seed}"


def test_no_site_is_filled_above_its_limit() -> None:
    for seed in range(40):
        snapshot = random_snapshot(seed)
        decision, _ = get("cooperative")(snapshot, None)
        load = dict.fromkeys(snapshot.sites, 0.0)
        for origin, row in decision.split.items():
            for peer, share in row.items():
                load[peer] += share * snapshot.sites[origin].demand_total_rps
        for name, site in snapshot.sites.items():
            assert load[name] <= site.usable_rps(0.95) * (1 + 1e-5), f"seed {seed}, {name}"


def test_hundreds_of_sites_are_near_the_optimum_too() -> None:
    # above 300 sites the solver is the iterative one
    snapshot = random_snapshot(1, sites=400, peers=8)
    best = solve(snapshot, tolerance=1e-3)
    decision, _ = get("cooperative")(snapshot, None)
    demand = math.fsum(site.demand_total_rps for site in snapshot.sites.values())
    assert math.fsum(decision.shed_rps.values()) == pytest.approx(math.fsum(best.shed_rps.values()), abs=1e-3 * demand)
    assert decision.predicted_mean_ms == pytest.approx(best.mean_ms, rel=0.05)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_hundreds_of_overloaded_sites_shed_the_least_that_is_possible(seed: int) -> None:
    # what the iterative solver sheds too much is placed afterwards, where there is room
    snapshot = random_snapshot(seed, sites=400, peers=8, overload=True)
    best = solve(snapshot, tolerance=1e-3)
    decision, _ = get("cooperative")(snapshot, None)
    demand = math.fsum(site.demand_total_rps for site in snapshot.sites.values())
    assert math.fsum(decision.shed_rps.values()) == pytest.approx(math.fsum(best.shed_rps.values()), abs=1e-4 * demand)
    assert decision.predicted_mean_ms == pytest.approx(best.mean_ms, rel=0.02)


def test_hundreds_of_sites_shed_the_least_important_class_first() -> None:
    plain = random_snapshot(2, sites=400, peers=8, overload=True)
    sites = {
        name: replace(site, demand_rps={"gold": 0.2 * site.demand_total_rps, "lead": 0.8 * site.demand_total_rps})
        for name, site in plain.sites.items()
    }
    snapshot = Snapshot(sites, plain.links, Settings(classes=("gold", "lead")))
    decision, _ = get("cooperative")(snapshot, None)
    demand = math.fsum(site.demand_total_rps for site in sites.values())
    for name, shed in decision.shed_by_class_rps.items():
        # an origin sheds of the more important class only when all of the other is gone
        assert shed["gold"] == 0.0 or shed["lead"] == pytest.approx(sites[name].demand_rps["lead"])
    whole = solve(snapshot, tolerance=1e-3)
    assert math.fsum(decision.shed_rps.values()) == pytest.approx(math.fsum(whole.shed_rps.values()), abs=1e-4 * demand)
