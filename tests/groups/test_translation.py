from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from groups_fakes import SITES, kubeconfigs, raw_spec
from hypothesis import given
from hypothesis import strategies as st

from spillover.controller.config import parse_config
from spillover.groups.resource import GroupSpec, parse_spec
from spillover.groups.translation import Claim, Means, claims, translate
from spillover.meshes.objects import ObjectRef
from spillover.model import Link, SpilloverError

MEANS = Means({name: Path(__file__) for name in SITES})
"""Files that exist."""


def test_overflow_mode_becomes_what_a_file_would_say(tmp_path: Path) -> None:
    paths = kubeconfigs(tmp_path)
    config = translate(parse_spec(raw_spec()), Means(paths))
    edge1: dict[str, Any] = {"capacity_rpm": 600, "collector_url": "http://collector.edge1.internal", "servers": 1}
    overflow = {"application": "shop", "namespace": "apps", "identities": {"edge2": "spiffe://edge2.lab/gateway"}}
    assert config.sites["edge1"].model_dump() == (
        parse_config(
            {"mode": "overflow", "sites": {"edge1": edge1, "edge2": edge1}}
        ).sites["edge1"].model_dump()
        | {"overflow": overflow, "kubeconfig": paths["edge1"]}
        | config.sites["edge1"].model_dump(include={"virtual_service", "destinations"})
    )  # fmt: skip
    assert config.sites["cloud"].kubeconfig is None
    assert (config.policy, config.mode, config.window_s, config.period_s) == ("cooperative", "overflow", 10.0, 1.0)
    assert Link("edge1", "cloud", 10.0) in config.model_links()


def test_weights_mode_names_destinations_instead_of_identities() -> None:
    config = translate(parse_spec(raw_spec(mode="weights")), MEANS)
    assert config.window_s == 1.0
    assert config.sites["edge1"].destinations == {
        "edge1": "shop.apps",
        "edge2": "edge2.peers.internal",
        "cloud": "cloud.peers.internal",
    }
    assert config.sites["edge1"].overflow is None
    assert config.sites["edge1"].virtual_service is not None
    assert config.sites["edge1"].virtual_service.name == "shop"


def test_overflow_mode_knows_the_weights_of_a_site_that_cannot_overflow_where_the_spec_has_its_destinations() -> None:
    by_weights = translate(parse_spec(raw_spec(mode="weights")), MEANS).sites["edge1"]
    both = translate(parse_spec(raw_spec()), MEANS).sites["edge1"]
    assert (both.virtual_service, both.destinations) == (by_weights.virtual_service, by_weights.destinations)
    neither = translate(parse_spec(without(raw_spec(), "links", 0, "destination")), MEANS).sites["edge1"]
    assert (neither.virtual_service, neither.destinations) == (None, {})
    assert neither.overflow is not None


def without(raw: dict[str, Any], part: str, index: int, field: str) -> dict[str, Any]:
    del raw[part][index][field]
    return raw


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (raw_spec(policy="best"), "policy must be one of .*, got 'best'"),
        (raw_spec(periodSeconds=0), "period_s must be at least 0.1, got 0.0"),
        (raw_spec(windowSeconds=1e9), "window_s must be at most 3600, got 1000000000.0"),
        (raw_spec(limits={"maxUtilisation": 2}), "settings.max_utilisation must be at most 1, got 2.0"),
        (raw_spec(links=[{"from": "edge1", "to": "mars"}]), "to must name a known site, got 'mars'"),
        (
            without(raw_spec(), "sites", 0, "identity"),
            "sites.edge1.identity must be given where a link begins, got none",
        ),
        (
            without(raw_spec(mode="weights"), "links", 0, "destination"),
            "the destination of edge2 in the VirtualService of edge1 must be given, got none",
        ),
    ],
)
def test_what_the_schema_did_not_see_is_one_sentence(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpilloverError, match=sentence) as caught:
        translate(parse_spec(raw), MEANS)
    assert "\n" not in str(caught.value)


def test_a_kubeconfig_that_the_daemon_has_not_is_named_beside_those_that_it_has() -> None:
    sentence = r"sites\.edge1\.access\.kubeconfig must be one that the daemon has \(cloud, edge2\), got 'edge1'"
    with pytest.raises(SpilloverError, match=sentence):
        translate(parse_spec(raw_spec()), Means({"edge2": Path(__file__), "cloud": Path(__file__)}))


def test_a_source_is_what_the_daemon_has_under_its_name() -> None:
    raw = raw_spec()
    raw["sites"][2]["demand"] = {"source": "cloud-prometheus"}
    prometheus = {"prometheus": {"url": "http://prometheus", "preset": "istio"}}
    config = translate(parse_spec(raw), Means(MEANS.kubeconfigs, sources={"cloud-prometheus": prometheus}))
    assert (config.sites["cloud"].source, config.sites["edge1"].source) == ("prometheus", "collector")
    sentence = r"sites\.cloud\.demand\.source must be one that the daemon has \(none\), got 'cloud-prometheus'"
    with pytest.raises(SpilloverError, match=sentence):
        translate(parse_spec(raw), MEANS)


def test_a_source_that_says_nonsense_is_one_sentence() -> None:
    raw = raw_spec()
    raw["sites"][2]["demand"] = {"source": "bad"}
    means = Means(MEANS.kubeconfigs, sources={"bad": {"prometheus": {"url": "nowhere"}}})
    with pytest.raises(SpilloverError, match=r"spec: sites\.cloud\.prometheus\.url must .*, got 'nowhere'"):
        translate(parse_spec(raw), means)


def test_two_names_of_one_api_server_are_one_claim() -> None:
    servers = {"edge1": "https://10.0.0.1", "edge2": "https://10.0.0.1"}
    route = ObjectRef("networking.istio.io/v1", "virtualservices", "apps", "shop")
    assert claims(parse_spec(raw_spec(mode="weights")), servers) == {Claim("https://10.0.0.1", route)}
    assert len(claims(parse_spec(raw_spec(mode="weights")), {})) == 2


def test_overflow_claims_what_another_namespace_would_write_too() -> None:
    here, there = raw_spec(), raw_spec()
    for site in there["sites"][:2]:
        site["service"]["namespace"] = "other"
    shared = claims(parse_spec(here), {}) & claims(parse_spec(there), {})
    assert {claim.ref.namespace for claim in shared} == {"istio-system"}


def test_both_modes_claim_the_applications_virtual_service() -> None:
    assert claims(parse_spec(raw_spec()), {}) & claims(parse_spec(raw_spec(mode="weights")), {})


@st.composite
def specs(draw: st.DrawFn) -> GroupSpec:
    names = draw(st.lists(st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True), min_size=1, max_size=6, unique=True))
    mode = draw(st.sampled_from(["overflow", "weights"]))
    sites = [
        {
            "name": name,
            "capacityRpm": draw(st.floats(1, 1e6)),
            "servers": draw(st.integers(1, 100)),
            "demand": {"collectorUrl": "http://collector"},
            "access": {"kubeconfig": draw(st.sampled_from(SITES))},
            "service": {"namespace": "apps", "name": name, "destination": name},
            "identity": f"spiffe://{name}/gateway",
        }
        for name in names
    ]
    pairs = [(origin, peer) for origin in names for peer in names if origin != peer]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    links = [
        {"from": origin, "to": peer, "rttMs": draw(st.floats(0, 500)), "destination": f"{peer}.peers"}
        for origin, peer in chosen
    ]
    return parse_spec({"mode": mode, "sites": sites, "links": links})


@given(specs())
def test_every_consistent_spec_becomes_a_configuration_that_says_the_same(spec: GroupSpec) -> None:
    config = translate(spec, MEANS)
    assert list(config.sites) == [site.name for site in spec.sites]
    assert [site.capacity_rpm for site in config.sites.values()] == [site.capacity_rpm for site in spec.sites]
    assert [(link.origin, link.peer, link.rtt_ms) for link in config.links] == [
        (link.origin, link.peer, link.rtt_ms) for link in spec.links
    ]
    for link in spec.links:
        peer, origin = config.sites[link.peer], config.sites[link.origin]
        if peer.overflow is not None:
            assert peer.overflow.identities[link.origin] == f"spiffe://{link.origin}/gateway"
        else:
            assert origin.destinations[link.peer] == f"{link.peer}.peers"


@given(specs(), specs())
def test_different_applications_of_one_server_share_a_claim_only_by_name(one: GroupSpec, other: GroupSpec) -> None:
    servers = dict.fromkeys(SITES, "https://10.0.0.1")
    names = {site.name for site in one.sites} & {site.name for site in other.sites}
    assert bool(claims(one, servers) & claims(other, servers)) == bool(names)


def test_classes_are_as_in_a_file() -> None:
    classes = [{"name": "batch", "match": {"path": {"prefix": "/batch/"}}}, {"name": "rest"}]
    given_classes = parse_config({"classes": classes, "sites": {"a": {"capacity_rpm": 1, "collector_url": "http://a"}}})
    assert translate(parse_spec(raw_spec(classes=classes)), MEANS).classes == given_classes.classes
    with pytest.raises(SpilloverError, match="spec: classes: each class must be named once, got 'batch' twice"):
        parse_spec(raw_spec(classes=[classes[0], classes[0]]))
