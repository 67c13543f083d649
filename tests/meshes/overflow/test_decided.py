from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spillover import policies
from spillover.meshes.overflow import numbers_for
from spillover.meshes.overflow.decided import LONGEST_WAIT_S, peer_weights
from spillover.model import Decision, Link, Site, Snapshot

LINKS = (
    Link("edge1", "edge2", 10.0),
    Link("edge1", "cloud", 40.0),
    Link("edge2", "edge1", 10.0),
    Link("cloud", "edge1", 40.0),
)
IDENTITIES = {"edge2": "spiffe://edge2.lab/gateway", "cloud": "spiffe://cloud.lab/gateway"}


def decided(**demand_rps: float) -> tuple[Decision, dict[str, Site]]:
    capacities = {"edge1": 12.0, "edge2": 12.0, "cloud": 24.0}
    sites = {name: Site(name, rps, demand_rps=demand_rps.get(name, 0.0)) for name, rps in capacities.items()}
    decision, _ = policies.get("cooperative")(Snapshot(sites, LINKS), None, total=100)
    return decision, sites


def test_numbers_of_an_overloaded_origin_are_those_of_the_decision() -> None:
    decision, sites = decided(edge1=30.0)
    made = numbers_for(decision, sites["edge1"], IDENTITIES)
    assert made.bucket_rps == decision.bucket_rps["edge1"]
    assert made.inflight_limit == decision.inflight_limit["edge1"]
    assert made.last_limit == made.inflight_limit + LONGEST_WAIT_S * 12
    assert made.grants_rps == decision.grants_rps["edge1"]
    assert made.peer_weights == decision.spill_weights["edge1"]


def test_where_only_a_full_home_is_a_reason_to_leave_the_proxies_have_no_bucket() -> None:
    decision, sites = decided(edge1=30.0)
    assert decision.trigger == {"edge1": "both", "edge2": "inflight", "cloud": "inflight"}
    assert decision.bucket_rps["edge2"] is not None
    assert numbers_for(decision, sites["edge2"], IDENTITIES).bucket_rps is None


def test_the_peers_part_of_the_split_is_what_a_policy_without_first_tries_means() -> None:
    decision = replace(decided(edge1=30.0)[0], spill_weights={})
    assert peer_weights(decision, "edge1") == {peer: decision.weights["edge1"][peer] for peer in ("edge2", "cloud")}


@pytest.mark.parametrize("parts", [{"gateways": 2}, {"replicas": 3}])
def test_numbers_of_all_replicas_together_are_those_of_one(parts: dict[str, Any]) -> None:
    decision, sites = decided(edge1=30.0)
    alone, each = (numbers_for(decision, sites["edge1"], {}, **kind) for kind in ({}, parts))
    assert alone.bucket_rps is not None
    assert each.bucket_rps == pytest.approx(alone.bucket_rps / parts.get("gateways", 1))
    for origin, rate_rps in alone.grants_rps.items():
        assert each.grants_rps[origin] == pytest.approx(rate_rps / parts.get("gateways", 1))
    assert each.inflight_limit == max(1, round(alone.inflight_limit / parts.get("replicas", 1)))


def test_while_nothing_is_spilled_peers_are_weighted_by_what_they_would_take() -> None:
    decision = replace(decided(edge2=9.0)[0], spill_weights={})
    weights = peer_weights(decision, "edge1")
    assert sum(weights.values()) == 100
    assert weights["cloud"] > weights["edge2"] > 0


def test_a_site_without_peers_has_no_weights_and_keeps_everything() -> None:
    decision, _ = policies.get("cooperative")(Snapshot({"alone": Site("alone", 5.0)}), None, total=100)
    made = numbers_for(decision, Site("alone", 5.0), {})
    assert made.peer_weights == {}
    assert made.bucket_rps is None
