"""The snapshot is checked once, at the door: everything behind it may trust it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import Decision, Link, Settings, Site, Snapshot, SpilloverError


def snapshot_dict(**site: Any) -> dict[str, Any]:
    return {
        "sites": {"edge1": {"capacity_rps": 12} | site, "cloud": {"capacity_rps": 24, "servers": 2}},
        "links": [{"from": "edge1", "to": "cloud", "rtt_ms": 40}],
    }


def test_defaults_are_those_of_the_contract() -> None:
    snapshot = Snapshot.from_dict(snapshot_dict())
    site = snapshot.sites["cloud"]
    assert (site.demand_total_rps, site.queue, site.healthy, site.age_s) == (0.0, 0.0, True, 0.0)
    assert site.mean_service_ms == pytest.approx(1000 * 2 / 24)
    assert snapshot.sites["edge1"].servers == 1
    assert snapshot.settings == Settings(0.95, 0.0, 1.0, ())


def test_usable_capacity_is_limited_by_the_servers_and_zero_when_unhealthy() -> None:
    site = Site("a", capacity_rps=100, servers=2, service_ms=100)
    assert site.usable_rps(0.5) == pytest.approx(10)
    assert Site("a", capacity_rps=10, servers=2, service_ms=100).usable_rps(0.5) == pytest.approx(5)
    assert Site("a", capacity_rps=100, healthy=False).usable_rps(0.95) == 0.0


def test_demand_by_class_is_summed() -> None:
    raw = snapshot_dict(demand_rps={"gold": 3, "lead": 4.5}) | {"settings": {"classes": ["gold", "lead"]}}
    assert Snapshot.from_dict(raw).sites["edge1"].demand_total_rps == pytest.approx(7.5)


def test_a_sample_is_missing_after_three_periods() -> None:
    raw = snapshot_dict(age_s=6.0) | {"settings": {"period_s": 2}}
    assert not Snapshot.from_dict(raw).is_missing("edge1")
    raw = snapshot_dict(age_s=6.1) | {"settings": {"period_s": 2}}
    assert Snapshot.from_dict(raw).is_missing("edge1")


@pytest.mark.parametrize(
    ("site", "sentence"),
    [
        ({"capacity_rps": 0}, "sites.edge1.capacity_rps must be above 0, got 0.0"),
        ({"capacity_rps": -5}, "sites.edge1.capacity_rps must be above 0, got -5.0"),
        ({"capacity_rps": None}, "sites.edge1.capacity_rps must be given, got none"),
        ({"capacity_rps": "12"}, "sites.edge1.capacity_rps must be a number, got '12'"),
        ({"capacity_rps": True}, "sites.edge1.capacity_rps must be a number, got True"),
        ({"capacity_rps": math.inf}, "sites.edge1.capacity_rps must be finite, got inf"),
        ({"capacity_rps": 10**400}, "sites.edge1.capacity_rps must be at most 1e+12, got 1000000"),
        ({"demand_rps": math.nan}, "sites.edge1.demand_rps must be finite, got nan"),
        ({"demand_rps": -1}, "sites.edge1.demand_rps must be at least 0, got -1.0"),
        ({"demand_rps": None}, "sites.edge1.demand_rps must be a number, got None"),
        ({"demand_rps": {"x": 1}}, "sites.edge1.demand_rps.x must be one of settings.classes [], got 'x'"),
        ({"servers": 0}, "sites.edge1.servers must be above 0, got 0"),
        ({"servers": 1.5}, "sites.edge1.servers must be a whole number, got 1.5"),
        ({"service_ms": 0}, "sites.edge1.service_ms must be above 0, got 0.0"),
        ({"queue": -1}, "sites.edge1.queue must be at least 0, got -1.0"),
        ({"healthy": 1}, "sites.edge1.healthy must be true or false, got 1"),
        ({"age_s": -0.1}, "sites.edge1.age_s must be at least 0, got -0.1"),
        ({"capcity": 1}, "sites.edge1 must have only"),
    ],
)
def test_a_bad_site_is_refused_with_its_field_and_value(site: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpilloverError) as caught:
        Snapshot.from_dict(snapshot_dict(**site))
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"links": [{"from": "edge1", "to": "mars"}]}, "links[0].to must name a known site, got 'mars'"),
        ({"links": [{"from": "edge1"}]}, "links[0].to must be given, got none"),
        ({"links": [{"from": "edge1", "to": "edge1"}]}, "a link must join two sites, got one from 'edge1' to itself"),
        (
            {"links": [{"from": "edge1", "to": "cloud", "rtt_ms": -1}]},
            "links.edge1->cloud.rtt_ms must be at least 0, got -1.0",
        ),
        ({"links": [{"from": "edge1", "to": "cloud"}] * 2}, "links must hold each pair once"),
        ({"links": "none"}, "links must be a list, got 'none'"),
        ({"sites": {}}, "sites must hold at least one site"),
        ({"sites": []}, "sites must be an object, got []"),
        ({"settings": {"max_utilisation": 1.1}}, "settings.max_utilisation must be at most 1, got 1.1"),
        ({"settings": {"max_utilisation": 0}}, "settings.max_utilisation must be above 0, got 0.0"),
        ({"settings": {"period_s": 0}}, "settings.period_s must be above 0, got 0.0"),
        ({"settings": {"cost_weight_ms": -1}}, "settings.cost_weight_ms must be at least 0, got -1.0"),
        ({"settings": {"classes": ["a", "a"]}}, "settings.classes must name each class once"),
        ({"settings": {"classes": ["a", 1]}}, "settings.classes[1] must be a non-empty, printable string, got 1"),
        ({"sites": {"a\nb": {"capacity_rps": 1}}}, "a site's name must be a non-empty, printable string"),
        ({"settings": {"classes": "a"}}, "settings.classes must be a list of names, got 'a'"),
        ({"settings": {"on_missing": "panic"}}, "settings.on_missing must be one of hold, static, got 'panic'"),
        ({"extra": 1}, "the snapshot must have only links, settings, sites, got 'extra'"),
    ],
)
def test_a_bad_snapshot_is_refused_with_its_field_and_value(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpilloverError) as caught:
        Snapshot.from_dict(snapshot_dict() | change)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("raw", [None, 3, [], "x", {}])
def test_what_is_no_snapshot_is_refused(raw: object) -> None:
    with pytest.raises(SpilloverError, match="the snapshot must"):
        Snapshot.from_dict(raw)


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_key = st.sampled_from(
    ["demand_rps", "capacity_rps", "servers", "service_ms", "queue", "healthy", "age_s", "from", "to", "rtt_ms"]
)


@given(
    st.fixed_dictionaries(
        {"sites": st.dictionaries(st.text(max_size=3), st.dictionaries(_key, _json) | _json, max_size=3)},
        optional={"links": st.lists(st.dictionaries(_key, _json) | _json) | _json, "settings": _json},
    )
)
def test_any_json_gives_a_snapshot_or_the_one_error(raw: dict[str, Any]) -> None:
    problem = ""
    try:
        Snapshot.from_dict(raw)
    except SpilloverError as error:
        problem = str(error)
    assert "\n" not in problem
    assert len(problem) < 300


def test_a_site_under_a_foreign_key_is_refused() -> None:
    with pytest.raises(SpilloverError, match=r"sites\.a must hold the site of that name, got 'b'"):
        Snapshot(sites={"a": Site("b", capacity_rps=1)})


def test_a_link_to_an_unknown_site_is_refused_without_json_too() -> None:
    with pytest.raises(SpilloverError, match="must name a known site, got 'b'"):
        Snapshot(sites={"a": Site("a", capacity_rps=1)}, links=(Link("a", "b"),))


def test_a_decision_becomes_json() -> None:
    decision = Decision(
        policy="local",
        split={"a": {"a": 1.0}},
        weights={"a": {"a": 100}},
        bucket_rps={"a": None},
        inflight_limit={"a": 1},
        thresholds_rps={"a": {}},
        grants_rps={"a": {}},
        shed_rps={"a": 0.0},
        reasons={"a": "a keeps all"},
        predicted_mean_ms=None,
        peer_order={"a": ("b",)},
    )
    assert json.loads(json.dumps(decision.to_dict()))["peer_order"] == {"a": ["b"]}
