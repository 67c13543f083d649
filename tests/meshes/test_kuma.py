from __future__ import annotations

from typing import Any

import pytest

from spillover.meshes import kuma
from spillover.model import SpilloverError


def mesh_route(*to: list[dict[str, Any]]) -> dict[str, Any]:
    """One entry of ``to`` for each list of rules."""
    return {
        "apiVersion": "kuma.io/v1alpha1",
        "kind": "MeshHTTPRoute",
        "metadata": {"name": "shop", "namespace": "site", "resourceVersion": "42"},
        "spec": {"to": [{"targetRef": {"kind": "MeshService", "name": "shop"}, "rules": rules} for rules in to]},
    }


def rule(*backends: dict[str, Any]) -> dict[str, Any]:
    return {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "default": {"backendRefs": list(backends)}}


def test_a_new_route_divides_a_mesh_service_between_others() -> None:
    home = {"kind": "MeshService", "name": "shop-home", "port": 80, "weight": 75}
    edge2 = {"kind": "MeshService", "namespace": "edge2", "name": "shop", "weight": 25}
    assert kuma.render("shop", "site", "site/shop", {"shop-home:80": 75, "edge2/shop": 25}) == {
        "apiVersion": "kuma.io/v1alpha1",
        "kind": "MeshHTTPRoute",
        "metadata": {"name": "shop", "namespace": "site"},
        "spec": {
            "targetRef": {"kind": "Mesh"},
            "to": [
                {
                    "targetRef": {"kind": "MeshService", "namespace": "site", "name": "shop"},
                    "rules": [rule(home, edge2)],
                }
            ],
        },
    }


def test_a_service_may_have_the_name_that_kuma_makes_from_its_port() -> None:
    made = kuma.render("shop", "site", "shop_site_svc_80", {"shop-home_site_svc_80": 100})
    assert kuma.read_weights(made) == {"shop-home_site_svc_80": 100}


@pytest.mark.parametrize(
    ("backend", "key"),
    [
        ({"name": "a"}, "a"),
        ({"kind": "MeshService", "name": "a", "namespace": "n", "port": 80}, "n/a:80"),
        ({"kind": "MeshMultiZoneService", "name": "a", "port": 80}, "MeshMultiZoneService/a:80"),
        ({"kind": "MeshServiceSubset", "name": "a", "tags": {"v": "2", "b": "1"}}, "MeshServiceSubset/a{b=1,v=2}"),
        ({"kind": "MeshService", "labels": {"app": "a"}}, "{app=a}"),
    ],
)
def test_a_backend_is_named_by_all_that_tells_it_apart(backend: dict[str, Any], key: str) -> None:
    assert kuma.destination_key(backend) == key


def test_a_rule_is_found_by_its_place() -> None:
    subset = {"kind": "MeshServiceSubset", "name": "a"}
    tagged = [{**subset, "tags": {"v": "1"}, "weight": 100}, {**subset, "tags": {"v": "2"}, "weight": 0}]
    route = mesh_route([rule({"name": "x"})], [{"matches": [], "default": {}}, rule(*tagged)])
    wanted = {"MeshServiceSubset/a{v=1}": 30, "MeshServiceSubset/a{v=2}": 70}
    patch = kuma.json_patch(route, wanted, "to[1].rules[1]")
    assert [operation["path"] for operation in patch[1:]] == [
        "/spec/to/1/rules/1/default/backendRefs/0/weight",
        "/spec/to/1/rules/1/default/backendRefs/1/weight",
    ]
    with pytest.raises(SpilloverError, match=r"2 rules that fit \(to\[0\]\.rules\[0\], to\[1\]\.rules\[1\]\)"):
        kuma.read_weights(route)
