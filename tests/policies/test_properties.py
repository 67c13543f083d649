"""What must hold for every policy, whatever the snapshot."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spillover.model import Decision, Link, Settings, Site, Snapshot, SpilloverError
from spillover.policies import NAMES, get

if TYPE_CHECKING:
    from collections.abc import Mapping

RESPECT_LIMITS = ("cooperative",)
SETTLED = ("local", "static", "paper", "failover", "waterfall", "cooperative")
"""Policies without a feedback of their own: the same snapshot again gives the same decision again."""

SCALE_FREE = tuple(name for name in NAMES if name != "l3")

rates = st.one_of(st.just(0.0), st.floats(0.01, 1e3))


@st.composite
def snapshots(draw: st.DrawFn, *, faults: bool = True) -> Snapshot:
    size = draw(st.integers(1, 6))
    names = [f"s{index}" for index in range(size)]
    sites = {}
    for name in names:
        capacity = draw(st.floats(0.1, 1e3))
        sites[name] = Site(
            name,
            capacity,
            draw(rates),
            draw(st.integers(1, 20)),
            draw(st.none() | st.floats(0.1, 1e4)),
            queue=draw(st.one_of(st.just(0.0), st.floats(0, 1e4))) if faults else 0.0,
            healthy=draw(st.booleans()) if faults else True,
            age_s=draw(st.sampled_from([0.0, 0.5, 3.5, 100.0])) if faults else 0.0,
        )
    pairs = [(one, other) for one in names for other in names if one != other]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    links = tuple(Link(*pair, rtt_ms=draw(st.floats(0, 500)), cost=draw(st.floats(0, 10))) for pair in chosen)
    return Snapshot(sites, links, Settings(cost_weight_ms=draw(st.sampled_from([0.0, 1.0]))))


def loads(snapshot: Snapshot, split: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    load = dict.fromkeys(snapshot.sites, 0.0)
    for origin, row in split.items():
        for peer, share in row.items():
            load[peer] += share * snapshot.sites[origin].demand_total_rps
    return load


def check(snapshot: Snapshot, decision: Decision, total: int) -> None:
    """A valid decision, whoever made it."""
    linked = {(link.origin, link.peer) for link in snapshot.links}
    json.dumps(decision.to_dict(), allow_nan=False)
    for name, site in snapshot.sites.items():
        demand = site.demand_total_rps
        shed = decision.shed_rps[name]
        assert sum(decision.weights[name].values()) == total
        assert min(decision.weights[name].values()) > 0
        assert shed >= 0.0
        assert all(share > 0.0 for share in decision.split[name].values())
        served = math.fsum(decision.split[name].values())
        assert served + (shed / demand if demand > 0 else 0.0) == pytest.approx(1.0, abs=1e-6)
        if demand == 0.0 and not snapshot.is_missing(name):
            assert decision.split[name] == {name: 1.0}
            assert decision.weights[name] == {name: total}
        for peer in {*decision.split[name], *decision.weights[name]} - {name}:
            assert (name, peer) in linked
            assert snapshot.sites[peer].healthy
        assert set(decision.grants_rps[name]) == {origin for origin, peer in linked if peer == name}
        usable = [peer for origin, peer in linked if origin == name and snapshot.sites[peer].healthy]
        assert set(decision.thresholds_rps[name]) == set(usable)
        if not usable:
            assert decision.bucket_rps[name] is None
        assert decision.inflight_limit[name] >= 1
        assert decision.reasons[name].startswith(name)
        kept = decision.split[name].get(name, 0.0) * demand
        headroom = max(site.usable_rps(snapshot.settings.max_utilisation) - kept, 0.0)
        assert math.fsum(decision.grants_rps[name].values()) <= headroom * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(snapshot=snapshots(), total=st.sampled_from([1, 7, 100, 10_000]))
def test_every_snapshot_gives_a_valid_decision(name: str, snapshot: Snapshot, total: int) -> None:
    decision, state = get(name)(snapshot, None, total=total)
    check(snapshot, decision, total)
    again, _ = get(name)(snapshot, json.loads(json.dumps(state, allow_nan=False)), total=total)
    check(snapshot, again, total)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "local"])
@settings(max_examples=25, deadline=None)
@given(snapshot=snapshots())
def test_a_dead_home_keeps_nothing_while_a_peer_lives(name: str, snapshot: Snapshot) -> None:
    decision, _ = get(name)(snapshot, None)
    for origin, site in snapshot.sites.items():
        lives = any(link.origin == origin and snapshot.sites[link.peer].healthy for link in snapshot.links)
        fresh = site.age_s <= 3.0
        if lives and not site.healthy and fresh and site.demand_total_rps > 0:
            assert origin not in decision.split[origin]


@pytest.mark.parametrize("name", SETTLED)
@settings(max_examples=25, deadline=None)
@given(snapshot=snapshots(faults=False))
def test_no_change_in_gives_no_change_out(name: str, snapshot: Snapshot) -> None:
    first, state = get(name)(snapshot, None)
    second, state = get(name)(snapshot, state)
    third, _ = get(name)(snapshot, state)
    assert first.weights == second.weights == third.weights
    assert first.split == second.split == third.split


@pytest.mark.parametrize("name", SCALE_FREE)
@settings(max_examples=25, deadline=None)
@given(snapshot=snapshots(), k=st.sampled_from([0.01, 0.5, 60.0, 1000.0]))
def test_the_unit_of_time_does_not_matter(name: str, snapshot: Snapshot, k: float) -> None:
    sites = {
        site.name: Site(
            site.name,
            site.capacity_rps * k,
            site.demand_total_rps * k,
            site.servers,
            None if site.service_ms is None else site.service_ms / k,
            site.queue,
            site.healthy,
            site.age_s / k,
        )
        for site in snapshot.sites.values()
    }
    links = tuple(Link(link.origin, link.peer, link.rtt_ms / k, link.cost) for link in snapshot.links)
    options = Settings(cost_weight_ms=snapshot.settings.cost_weight_ms / k, period_s=1.0 / k)
    one, _ = get(name)(snapshot, None)
    other, _ = get(name)(Snapshot(sites, links, options), None)
    if one.predicted_mean_ms is not None:
        assert other.predicted_mean_ms == pytest.approx(one.predicted_mean_ms / k, rel=1e-3)
    if name != "cooperative":  # optimal flows need not be unique, so that a last bit may choose between them
        for origin, row in one.split.items():
            assert other.split[origin] == pytest.approx(row, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(snapshot=snapshots(faults=False), order=st.randoms(use_true_random=False))
def test_names_and_order_change_only_ties(name: str, snapshot: Snapshot, order: Any) -> None:
    fresh = [f"x{index}" for index in range(len(snapshot.sites))]
    order.shuffle(fresh)
    names = dict(zip(snapshot.sites, fresh, strict=True))
    renamed = {
        names[site.name]: Site(names[site.name], site.capacity_rps, site.demand_rps, site.servers, site.service_ms)
        for site in reversed(list(snapshot.sites.values()))
    }
    links = tuple(Link(names[link.origin], names[link.peer], link.rtt_ms, link.cost) for link in snapshot.links)
    one, _ = get(name)(snapshot, None)
    other, _ = get(name)(Snapshot(renamed, links, snapshot.settings), None)
    assert math.fsum(other.shed_rps.values()) == pytest.approx(math.fsum(one.shed_rps.values()), abs=1e-2)
    tied = len({link.rtt_ms for link in links}) < len(links)
    if one.predicted_mean_ms is not None and other.predicted_mean_ms is not None and not tied:
        assert other.predicted_mean_ms == pytest.approx(one.predicted_mean_ms, rel=1e-3)


@settings(max_examples=100, deadline=None)
@given(snapshot=snapshots(faults=False))
def test_cooperative_fills_no_site_above_its_limit_and_sheds_only_when_all_it_reaches_are_full(
    snapshot: Snapshot,
) -> None:
    decision, _ = get("cooperative")(snapshot, None)
    load = loads(snapshot, decision.split)
    limit = {name: site.usable_rps(0.95) for name, site in snapshot.sites.items()}
    for name in snapshot.sites:
        assert load[name] <= limit[name] * (1 + 1e-5)
    for origin, shed in decision.shed_rps.items():
        if shed > 1e-4 * snapshot.sites[origin].demand_total_rps:
            reach = [origin, *(link.peer for link in snapshot.links if link.origin == origin)]
            assert all(load[name] >= limit[name] * (1 - 1e-3) for name in reach)
    assert decision.saturated is any(shed > 0 for shed in decision.shed_rps.values())


_junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["s0", "s1", "x"]), inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(
    snapshot=snapshots(),
    state=st.dictionaries(
        st.sampled_from(["split", "demand", "shed", "returning", "calm", "budget", "latency_s", "utilisation"]), _junk
    ),
)
def test_any_state_gives_a_valid_decision_or_the_one_error(
    name: str, snapshot: Snapshot, state: dict[str, Any]
) -> None:
    try:
        decision, _ = get(name)(snapshot, state | {"policy": name})
    except SpilloverError as error:
        assert str(error).startswith("state.")  # noqa: PT017  (either outcome is right)
        return
    check(snapshot, decision, 100)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_another_policy_is_ignored(name: str) -> None:
    snapshot = Snapshot({"a": Site("a", 10, 5), "b": Site("b", 10)}, (Link("a", "b", 10),))
    foreign = {"policy": "another", "split": {"a": {"b": 1.0}}}
    assert get(name)(snapshot, foreign)[0].split == get(name)(snapshot, None)[0].split


def test_extreme_numbers_are_survived() -> None:
    for capacity, demand, servers, service, rtt in (
        (1e-9, 1e12, 10_000, 1e12, 1e12),
        (1e12, 1e-9, 1, 1e-9, 0.0),
        (1e12, 1e12, 10_000, None, 1e-9),
        (1.0, 1e-12, 1, None, 1e12),
    ):
        sites = {"a": Site("a", capacity, demand, servers, service), "b": Site("b", 1.0, 1.0, 3)}
        snapshot = Snapshot(sites, (Link("a", "b", rtt), Link("b", "a", rtt)))
        for name in NAMES:
            check(snapshot, get(name)(snapshot, None)[0], 100)
