"""The policies that we compare with, each by its own rule."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spillover.model import Decision, Link, Site, Snapshot
from spillover.policies import get
from spillover.policies.layout import Layout
from spillover.policies.load_aware_locality import weights

if TYPE_CHECKING:
    from collections.abc import Iterable

LINKS = (Link("a", "near", 5), Link("a", "far", 50))


def world(demand: float, **changes: dict[str, Any]) -> Snapshot:
    sites = {
        "a": Site("a", 10, demand),
        "near": Site("near", 20, servers=2),
        "far": Site("far", 30, servers=3),
    }
    for name, change in changes.items():
        sites[name] = replace(sites[name], **change)
    return Snapshot(sites, LINKS)


def run(name: str, snapshots: Iterable[Snapshot]) -> list[Decision]:
    state, decisions = None, []
    for snapshot in snapshots:
        decision, state = get(name)(snapshot, state)
        state = json.loads(json.dumps(state))
        decisions.append(decision)
    return decisions


def split(name: str, snapshot: Snapshot) -> dict[str, float]:
    return dict(run(name, [snapshot])[0].split["a"])


def test_static_divides_by_capacity_whatever_the_demand() -> None:
    for demand in (1, 100):
        assert split("static", world(demand)) == pytest.approx({"a": 1 / 6, "near": 2 / 6, "far": 3 / 6})
    assert split("static", world(1, near={"healthy": False})) == pytest.approx({"a": 0.25, "far": 0.75})


def test_failover_moves_all_to_the_nearest_when_home_dies_and_nothing_when_it_is_flooded() -> None:
    assert split("failover", world(100)) == {"a": 1.0}
    assert split("failover", world(5, a={"healthy": False})) == {"near": 1.0}
    assert split("failover", world(5, a={"healthy": False}, near={"healthy": False})) == {"far": 1.0}
    nobody = world(5, a={"healthy": False}, near={"healthy": False}, far={"healthy": False})
    assert split("failover", nobody) == {"a": 1.0}


def test_failover_spreads_over_equally_near_peers_by_their_servers() -> None:
    dead = world(5, a={"healthy": False})
    tied = Snapshot(dead.sites, (Link("a", "near", 5), Link("a", "far", 5)))
    assert split("failover", tied) == pytest.approx({"near": 0.4, "far": 0.6})


def test_waterfall_fills_home_then_the_nearest_then_the_next() -> None:
    assert split("waterfall", world(10)) == {"a": 1.0}
    assert split("waterfall", world(25)) == pytest.approx({"a": 0.4, "near": 0.6})
    assert split("waterfall", world(50)) == pytest.approx({"a": 0.2, "near": 0.4, "far": 0.4})


def test_waterfall_keeps_home_what_finds_no_headroom() -> None:
    assert split("waterfall", world(80)) == pytest.approx({"a": 30 / 80, "near": 20 / 80, "far": 30 / 80})


def test_waterfall_leaves_a_busy_peer_its_own_demand() -> None:
    assert split("waterfall", world(25, near={"demand_rps": 15.0})) == pytest.approx(
        {"a": 0.4, "near": 0.2, "far": 0.4}
    )


def test_band_adds_the_nearest_peers_one_a_period_and_takes_them_out_again() -> None:
    decisions = run("band", [*[world(50)] * 3, *[world(1)] * 3])
    used = [set(decision.split["a"]) for decision in decisions]
    assert used == [{"a", "near"}, {"a", "near", "far"}, {"a", "near", "far"}, {"a", "near"}, {"a"}, {"a"}]
    assert decisions[1].split["a"] == pytest.approx({"a": 1 / 6, "near": 2 / 6, "far": 3 / 6})


def test_band_leaves_a_load_within_the_band_alone() -> None:
    # M/M/1 at 0.6: 1.5 requests in the system
    assert split("band", world(6)) == {"a": 1.0}
    assert "within the band" in run("band", [world(6)])[0].reasons["a"]


def test_l3_weighs_by_the_square_of_the_latency_and_the_p99() -> None:
    p99 = np.log(100)
    # idle sites of equal speed: 100 ms each, and the round trips 0, 5 and 50 ms
    raw = {
        name: 1 / ((0.1 + rtt + 1) ** 2 * (0.1 * p99 + rtt)) for name, rtt in (("a", 0), ("near", 0.005), ("far", 0.05))
    }
    expected = {name: value / sum(raw.values()) for name, value in raw.items()}
    assert split("l3", world(1e-6)) == pytest.approx(expected, rel=1e-4)


def test_l3_reacts_over_its_smoothing_time() -> None:
    decisions = run("l3", [world(1)] * 3 + [world(9.5)] * 8)
    shares = [decision.split["a"]["a"] for decision in decisions]
    assert shares[3] <= shares[2]
    assert shares[-1] < shares[3]


def test_load_aware_locality_follows_the_worked_example_of_its_documentation() -> None:
    sites = {"a": Site("a", 10, 1, 10), "b": Site("b", 10, 1, 10), "c": Site("c", 10, 1, 10)}
    layout = Layout.of(Snapshot(sites, (Link("a", "b"), Link("a", "c"))))
    found = weights(layout, np.array([0.7, 0.3, 0.4]))
    assert found[[0, 3, 4]] == pytest.approx([3, 7, 6])


def test_load_aware_locality_snaps_home_but_for_the_probe() -> None:
    assert split("load-aware-locality", world(0.5)) == pytest.approx({"a": 0.97, "near": 0.012, "far": 0.018})


def test_load_aware_locality_smooths_over_five_seconds() -> None:
    before, after = run("load-aware-locality", [world(0.5), world(12)])
    assert before.reasons["a"].endswith("utilisation at home 0.05")
    # 97 % of 12 rps still arrive at home, more than it can serve: 0.05 + (1 - exp(-1/5)) * (1 - 0.05)
    assert after.reasons["a"].endswith("utilisation at home 0.22")
    assert after.split["a"]["a"] < 0.97


def test_load_aware_locality_falls_back_to_hosts_when_nobody_has_headroom() -> None:
    full = world(100, near={"demand_rps": 100.0}, far={"demand_rps": 100.0})
    assert split("load-aware-locality", full) == pytest.approx({"a": 1 / 6, "near": 2 / 6, "far": 3 / 6})
