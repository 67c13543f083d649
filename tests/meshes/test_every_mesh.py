"""What holds for every mesh of the catalogue: exact totals, valid objects, and nothing changed but weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from json_patch import apply_patch
from splits import exact_splits

from spillover.meshes import app_mesh, consul, gateway_api, istio, kuma, linkerd, smi
from spillover.meshes.catalogue import MESHES, get
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
CRDS = ROOT / "tests" / "fixtures" / "crds"


@dataclass(frozen=True)
class Case:
    """One mesh under test: its module, a host and a destination's key in its form, and the totals that it takes."""

    module: ModuleType
    host: str
    key: str
    totals: tuple[int, ...]
    path: str
    schema: str | None = None
    absent: int | None = None

    def keys(self, size: int) -> list[str]:
        return [self.key.format(index) for index in range(size)]


SMI = Case(smi, "shop", "shop-{}", (100, 1000), "spec/backends", "smi-trafficsplit.yml")
CASES = {
    "istio": Case(istio, "shop", "shop.site{}", (100, 1000), "spec/http/0/route", absent=0),
    "gateway-api": Case(
        gateway_api,
        "shop:80",
        "site/shop-{}:80",
        (100, 10**6),
        "spec/rules/0/backendRefs",
        "gateway-api-httproute.yml",
        1,
    ),
    "linkerd": Case(
        linkerd, "shop:80", "site/shop-{}:80", (100, 10**6), "spec/rules/0/backendRefs", "linkerd-httproute.yml", 1
    ),
    "linkerd-smi": SMI,
    "open-service-mesh": SMI,
    "traefik-mesh": SMI,
    "smi": SMI,
    "consul": Case(consul, "shop", "shop/site{}", (100, 10_000), "spec/splits", absent=0),
    "kuma": Case(
        kuma,
        "shop",
        "site/shop-{}:80",
        (100, 1000),
        "spec/to/0/rules/0/default/backendRefs",
        "kuma-meshhttproute.yml",
        1,
    ),
    "app-mesh": Case(
        app_mesh,
        "shop.site.svc.cluster.local:80",
        "site/shop-{}:8080",
        (100, 60),
        "spec/routes/0/httpRoute/action/weightedTargets",
        "app-mesh-virtualrouter.yml",
    ),
}
every_mesh = pytest.mark.parametrize("mesh", CASES)
with_schema = pytest.mark.parametrize("mesh", [mesh for mesh, case in CASES.items() if case.schema])
one_of_each_module = pytest.mark.parametrize(
    "mesh", [name for name in CASES if CASES[name] is not SMI or name == "smi"]
)


def rendered(mesh: str, weights: list[int], total: int = 100) -> tuple[dict[str, Any], dict[str, int]]:
    """A new object as an API server would return it, and its weights by key."""
    case = CASES[mesh]
    wanted = dict(zip(case.keys(len(weights)), weights, strict=True))
    made = get(mesh).render("shop", "site", case.host, wanted, total=total)
    made["metadata"] |= {"resourceVersion": "7", "labels": {"owner": "someone"}}
    return made, wanted


def entries(mesh: str, obj: dict[str, Any]) -> list[dict[str, Any]]:
    node: Any = obj
    for step in CASES[mesh].path.split("/"):
        node = node[int(step) if isinstance(node, list) else step]
    assert isinstance(node, list)
    return node


def without_weights(mesh: str, obj: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(obj)
    for entry in entries(mesh, result):
        entry.pop("weight", None)
    return result


@cache
def published(mesh: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(closed(yaml.safe_load((CRDS / str(CASES[mesh].schema)).read_text())))


def closed(schema: Any) -> Any:
    """The schema with nothing unknown allowed: an API server would drop or refuse it."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    # A field may itself be called "properties"; in these files none is.
    return result | ({"additionalProperties": False} if "properties" in schema else {})


def test_the_cases_are_the_catalogue() -> None:
    assert set(CASES) == set(MESHES)


@every_mesh
def test_the_catalogue_is_documented(mesh: str) -> None:
    made, _ = rendered(mesh, [60, 40])
    rows = [row for row in (ROOT / "docs" / "meshes.md").read_text().splitlines() if row.startswith(f"| `{mesh}` |")]
    assert len(rows) == 1
    assert f"{made['kind']}, {made['apiVersion']}" in rows[0].replace("`", "")


def test_an_unknown_mesh_is_named_with_the_known_ones() -> None:
    with pytest.raises(SpilloverError, match=r"mesh must be one of istio, .*app-mesh, got 'osm'"):
        get("osm")


@with_schema
@given(data=st.data())
def test_rendered_objects_are_valid_by_the_published_schema(mesh: str, data: st.DataObject) -> None:
    total = data.draw(st.sampled_from(CASES[mesh].totals))
    made, _ = rendered(mesh, data.draw(exact_splits(data.draw(st.integers(1, 10)), total)), total)
    assert [error.message for error in published(mesh).iter_errors(made)] == []


@with_schema
@pytest.mark.parametrize("wrong", [{"weight": None}, {"weight": "40"}, {"wait": 40}])
def test_the_schemas_refuse_what_is_wrong(mesh: str, wrong: dict[str, Any]) -> None:
    made, _ = rendered(mesh, [60, 40])
    entries(mesh, made)[1] |= wrong
    assert not published(mesh).is_valid(made)


@pytest.mark.parametrize(
    ("mesh", "least", "most"),
    [("gateway-api", 0, 10**6), ("linkerd", 0, 10**6), ("kuma", 0, 10**9), ("app-mesh", 0, 100)],
)
def test_the_schemas_limit_a_weight_as_documented(mesh: str, least: int, most: int) -> None:
    made, _ = rendered(mesh, [60, 40])
    allowed = {}
    for weight in (least - 1, least, most, most + 1):
        entries(mesh, made)[1]["weight"] = weight
        allowed[weight] = published(mesh).is_valid(made)
    no_limit = mesh == "kuma"
    assert allowed == {least - 1: False, least: True, most: True, most + 1: no_limit}


@every_mesh
@given(data=st.data())
def test_totals_are_exact(mesh: str, data: st.DataObject) -> None:
    total = data.draw(st.sampled_from(CASES[mesh].totals))
    made, wanted = rendered(mesh, data.draw(exact_splits(data.draw(st.integers(1, 10)), total)), total)
    in_force = CASES[mesh].module.read_weights(made)
    scale = total / 100 if mesh == "consul" else 1
    assert list(in_force) == list(wanted)
    assert {key: round(weight * scale, 9) for key, weight in in_force.items()} == wanted


@one_of_each_module
@given(data=st.data())
def test_nothing_but_weights_changes_and_patch_and_copy_agree(mesh: str, data: st.DataObject) -> None:
    case = CASES[mesh]
    total = data.draw(st.sampled_from(case.totals))
    size = data.draw(st.integers(2, 10))
    before, _ = rendered(mesh, data.draw(exact_splits(size, total)), total)
    if case.absent is not None and data.draw(st.booleans()):
        entries(mesh, before)[0].pop("weight")
    original = copy.deepcopy(before)
    wanted = dict(zip(case.keys(size), data.draw(exact_splits(size, total)), strict=True))

    after, changed = case.module.set_weights(before, wanted, total=total)
    patch = case.module.json_patch(before, wanted, total=total)

    assert before == original
    assert without_weights(mesh, after) == without_weights(mesh, before)
    assert changed == (after != before) == bool(patch)
    assert apply_patch(before, patch) == after
    assert case.module.json_patch(after, wanted, total=total) == []
    assert sum(case.module.read_weights(after).values()) == pytest.approx(100 if mesh == "consul" else total)


@one_of_each_module
def test_the_patch_tests_the_version_and_holds_only_what_differs(mesh: str) -> None:
    made, wanted = rendered(mesh, [50, 20, 30])
    first, second, third = wanted
    patch = CASES[mesh].module.json_patch(made, {first: 40, second: 20, third: 40})
    assert patch == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": f"/{CASES[mesh].path}/0/weight", "value": 40},
        {"op": "add", "path": f"/{CASES[mesh].path}/2/weight", "value": 40},
    ]


@one_of_each_module
def test_destinations_that_are_not_named_keep_their_weight(mesh: str) -> None:
    made, wanted = rendered(mesh, [50, 20, 30])
    first, second, third = wanted
    after, changed = CASES[mesh].module.set_weights(made, {first: 60, second: 10})
    assert changed
    assert CASES[mesh].module.read_weights(after) == {first: 60, second: 10, third: 30}


@one_of_each_module
def test_an_absent_weight_counts_as_the_mesh_counts_it(mesh: str) -> None:
    made, wanted = rendered(mesh, [60, 40])
    del entries(mesh, made)[0]["weight"]
    module, absent, first = CASES[mesh].module, CASES[mesh].absent, next(iter(wanted))
    if absent is None:
        with pytest.raises(SpilloverError, match=f"weight of '{first}' must be a whole number of 0 or more, got None"):
            module.read_weights(made)
    else:
        assert module.read_weights(made)[first] == absent


@one_of_each_module
def test_an_object_without_version_is_not_patched(mesh: str) -> None:
    made, wanted = rendered(mesh, [60, 40])
    del made["metadata"]["resourceVersion"]
    assert CASES[mesh].module.json_patch(made, wanted) == []
    with pytest.raises(SpilloverError, match=r"site/shop has no metadata\.resourceVersion"):
        CASES[mesh].module.json_patch(made, dict(zip(wanted, [50, 50], strict=True)))


@one_of_each_module
def test_an_object_without_destinations_is_refused(mesh: str) -> None:
    made, _ = rendered(mesh, [100])
    made["spec"] = None
    with pytest.raises(SpilloverError, match="site/shop has no "):
        CASES[mesh].module.read_weights(made)


@one_of_each_module
def test_equal_destinations_are_refused(mesh: str) -> None:
    made, wanted = rendered(mesh, [60, 40])
    entries(mesh, made)[1] = copy.deepcopy(entries(mesh, made)[0])
    with pytest.raises(SpilloverError, match=f"'{next(iter(wanted))}' more than once"):
        CASES[mesh].module.read_weights(made)


@one_of_each_module
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"elsewhere": 100}, "unknown destination 'elsewhere': .* site/shop routes to "),
        ({"first": 2.5}, "must be a whole number of 0 or more, got 2.5"),
        ({"first": True}, "must be a whole number of 0 or more, got True"),
        ({"first": -1}, "must be a whole number of 0 or more, got -1"),
        ({"first": 61}, "must sum to 100, got 101: "),
    ],
)
def test_wrong_weights_are_one_sentence(mesh: str, change: dict[str, Any], sentence: str) -> None:
    made, wanted = rendered(mesh, [60, 40])
    weights = {next(iter(wanted)) if key == "first" else key: weight for key, weight in change.items()}
    with pytest.raises(SpilloverError, match=sentence):
        CASES[mesh].module.set_weights(made, weights)
    with pytest.raises(SpilloverError, match=sentence):
        CASES[mesh].module.json_patch(made, weights)


@every_mesh
@pytest.mark.parametrize("namespace", ["", "Site", "a.b", "n" * 64])
def test_a_namespace_that_kubernetes_does_not_take_is_refused(mesh: str, namespace: str) -> None:
    case = CASES[mesh]
    with pytest.raises(
        SpilloverError, match=f"the namespace must be a Kubernetes name in lower case, got '{namespace}'"
    ):
        get(mesh).render("shop", namespace, case.host, {case.keys(1)[0]: 100})


@every_mesh
def test_a_host_of_another_form_is_refused(mesh: str) -> None:
    with pytest.raises(SpilloverError, match="'a b'"):
        get(mesh).render("shop", "site", "a b", {CASES[mesh].keys(1)[0]: 100})


@every_mesh
@pytest.mark.parametrize(
    ("destinations", "sentence"),
    [
        ({"A B": 100}, "the destination must have the form .*, got 'A B'"),
        ({"": 100}, "the destination must have the form .*, got ''"),
        ({}, "site/shop has no "),
    ],
)
def test_destinations_of_another_form_are_refused(mesh: str, destinations: dict[str, int], sentence: str) -> None:
    with pytest.raises(SpilloverError, match=sentence):
        get(mesh).render("shop", "site", CASES[mesh].host, destinations)


@every_mesh
@pytest.mark.parametrize("weight", [50, 101])
def test_a_new_object_with_another_sum_is_refused(mesh: str, weight: int) -> None:
    first, second = CASES[mesh].keys(2)
    with pytest.raises(SpilloverError, match=f"must sum to 100, got {weight}: {first}={weight}, {second}=0"):
        get(mesh).render("shop", "site", CASES[mesh].host, {first: weight, second: 0})


@pytest.mark.parametrize("mesh", [name for name in CASES if name != "consul"])
@pytest.mark.parametrize("name", ["", "Shop", "shop_1", "-shop", "s" * 254])
def test_a_name_that_kubernetes_does_not_take_is_refused(mesh: str, name: str) -> None:
    case = CASES[mesh]
    with pytest.raises(SpilloverError, match=f"the name must be a Kubernetes name in lower case, got '{name}'"):
        get(mesh).render(name, "site", case.host, {case.keys(1)[0]: 100})


@pytest.mark.parametrize("mesh", ["istio", "gateway-api", "linkerd", "kuma", "app-mesh"])
@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_no_socket_has_is_refused(mesh: str, port: int) -> None:
    key = f"{CASES[mesh].keys(1)[0].split(':')[0]}:{port}"
    with pytest.raises(SpilloverError, match=f"the destination must have the form .*, got '{key}'"):
        get(mesh).render("shop", "site", CASES[mesh].host, {key: 100})


@pytest.mark.parametrize(("mesh", "most"), [("gateway-api", 16), ("linkerd", 16), ("app-mesh", 10)])
def test_more_destinations_than_the_mesh_takes_are_refused(mesh: str, most: int) -> None:
    weights = [100] + [0] * most
    rendered(mesh, weights[:most])
    with pytest.raises(SpilloverError, match=f"site/shop must be at most {most}, got {most + 1}"):
        rendered(mesh, weights)
