"""When the fast clock spills: triggers, in-flight limits, first tries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.model import Decision, Link, Site, Snapshot
from spillover.policies import get

EDGES = (
    Link("edge1", "edge2", 10),
    Link("edge1", "cloud", 40),
    Link("edge2", "edge1", 10),
    Link("edge2", "cloud", 40),
)


def standard(edge1_rps: float, servers: int = 1, links: tuple[Link, ...] = EDGES) -> Snapshot:
    sites = {
        "edge1": Site("edge1", 12, edge1_rps, servers=servers),
        "edge2": Site("edge2", 12, 4, servers=servers),
        "cloud": Site("cloud", 24, servers=2),
    }
    return Snapshot(sites, links)


def decide(snapshot: Snapshot, policy: str = "cooperative") -> Decision:
    return get(policy)(snapshot, None, total=100)[0]


def test_a_full_home_is_the_only_reason_to_leave_one_that_answers_soonest() -> None:
    assert decide(standard(20)).trigger == {"edge1": "inflight", "edge2": "inflight", "cloud": "inflight"}


def test_a_home_slower_than_a_peer_keeps_a_bucket() -> None:
    slow = decide(standard(20, servers=4))
    assert slow.trigger == {"edge1": "both", "edge2": "both", "cloud": "inflight"}
    assert slow.bucket_rps["edge1"] is not None


def test_the_policies_that_we_compare_with_know_only_rates() -> None:
    paper = decide(standard(20), "paper")
    assert set(paper.trigger.values()) == {"bucket"}
    assert paper.spill_weights == {}


@pytest.mark.parametrize(("edge1_rps", "limits"), [(8, (1, 1, 4)), (20, (1, 1, 4)), (30, (1, 2, 5))])
def test_limits_of_the_standard_scenarios_are_those_that_were_found_best(
    edge1_rps: float, limits: tuple[int, int, int]
) -> None:
    assert tuple(decide(standard(edge1_rps)).inflight_limit.values()) == limits


def test_a_guest_of_a_slower_home_waits_for_half_of_what_it_would_gain() -> None:
    # 333 ms of service at home, 83 ms in the cloud, which serves 24 rps: for itself alone it would wait behind 6
    assert decide(standard(8, servers=4)).inflight_limit["cloud"] == 2 + 6 // 2


def test_a_dead_home_has_a_bucket_that_keeps_nothing() -> None:
    snapshot = standard(8)
    dead = replace(snapshot, sites=dict(snapshot.sites) | {"edge1": replace(snapshot.sites["edge1"], healthy=False)})
    decision = decide(dead)
    assert decision.trigger["edge1"] == "both"
    assert decision.bucket_rps["edge1"] == 0.0


def test_limits_rise_with_the_load_of_all_and_with_the_distance() -> None:
    rates = (8, 20, 30, 38, 41)
    for name in ("edge1", "edge2", "cloud"):
        limits = [decide(standard(rate)).inflight_limit[name] for rate in rates]
        assert limits == sorted(limits)
        assert limits[-1] > limits[0]
    far = tuple(replace(link, rtt_ms=link.rtt_ms + 500) for link in EDGES)
    assert decide(standard(20, links=far)).inflight_limit["edge1"] >= 1 + 12 * 0.5


def test_limits_do_not_depend_on_the_unit_of_time() -> None:
    quick = Snapshot(
        {
            name: replace(site, capacity_rps=10 * site.capacity_rps, demand_rps=10 * site.demand_total_rps)
            for name, site in standard(30).sites.items()
        },
        tuple(replace(link, rtt_ms=link.rtt_ms / 10) for link in EDGES),
    )
    assert decide(quick).inflight_limit == decide(standard(30)).inflight_limit


def test_the_soonest_idle_peer_is_tried_first_until_it_is_asked_for_all_that_it_grants() -> None:
    assert decide(standard(8)).spill_weights["edge1"] == {"edge2": 100}
    busy = decide(standard(30))
    spilled = 30 * (1 - busy.split["edge1"]["edge1"])
    near = busy.grants_rps["edge2"]["edge1"] / spilled
    assert busy.spill_weights["edge1"]["edge2"] == pytest.approx(100 * near, abs=1)
    assert sum(busy.spill_weights["edge1"].values()) == 100


def test_first_tries_never_go_to_a_dead_or_unlinked_peer() -> None:
    snapshot = standard(20)
    dead = Snapshot(snapshot.sites | {"edge2": replace(snapshot.sites["edge2"], healthy=False)}, EDGES)
    assert set(decide(dead).spill_weights["edge1"]) == {"cloud"}
    assert decide(Snapshot(snapshot.sites)).spill_weights == {name: {} for name in snapshot.sites}


def test_larger_origins_are_granted_more_of_what_is_left_and_none_is_left_out() -> None:
    grants = decide(standard(30)).grants_rps["cloud"]
    assert grants["edge1"] > grants["edge2"] > 0
    assert np.sum(list(grants.values())) == pytest.approx(0.95 * 24)
