from __future__ import annotations

from typing import Any

import pytest

from spillover.meshes import gateway_api
from spillover.model import SpilloverError


def http_route(*rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "site", "resourceVersion": "42"},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": list(rules)},
    }


def test_a_new_route_is_attached_to_the_service_that_the_clients_call() -> None:
    assert gateway_api.render("shop", "site", "shop", {"shop-home:80": 75, "edge2/shop:8080": 25}) == {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": "site"},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "shop"}],
            "rules": [
                {
                    "backendRefs": [
                        {"name": "shop-home", "port": 80, "weight": 75},
                        {"namespace": "edge2", "name": "shop", "port": 8080, "weight": 25},
                    ]
                }
            ],
        },
    }


@pytest.mark.parametrize(
    ("backend", "key"),
    [
        ({"name": "a", "port": 80}, "a:80"),
        ({"group": "", "kind": "Service", "name": "a", "namespace": "n", "port": 80}, "n/a:80"),
        ({"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": "a", "port": 80}, "ServiceImport/a:80"),
        ({"group": "networking.istio.io", "kind": "Hostname", "name": "a.example"}, "Hostname/a.example"),
    ],
)
def test_a_backend_is_named_by_all_that_tells_it_apart(backend: dict[str, Any], key: str) -> None:
    assert gateway_api.destination_key(backend) == key


def test_a_backend_without_port_is_not_rendered() -> None:
    with pytest.raises(SpilloverError, match=r"must have the form \[namespace/\]service:port, got 'shop'"):
        gateway_api.render("shop", "site", "shop", {"shop": 100})


def test_a_rule_is_found_by_its_name_or_its_place() -> None:
    route = http_route(
        {"filters": [{"type": "RequestRedirect"}]},
        {"backendRefs": [{"name": "guests", "port": 80}]},
        {
            "name": "clients",
            "backendRefs": [{"name": "a", "port": 80, "weight": 100}, {"name": "b", "port": 80, "weight": 0}],
        },
    )
    patch = gateway_api.json_patch(route, {"a:80": 30, "b:80": 70}, "clients")
    assert [operation["path"] for operation in patch[1:]] == [
        "/spec/rules/2/backendRefs/0/weight",
        "/spec/rules/2/backendRefs/1/weight",
    ]
    assert gateway_api.read_weights(route, "rules[1]") == {"guests:80": 1}
    with pytest.raises(SpilloverError, match=r"site/shop has 2 rules that fit \(rules\[1\], clients\): name the one"):
        gateway_api.read_weights(route)
    with pytest.raises(SpilloverError, match=r"no rule named 'rules\[0\]'; it has rules\[1\], clients"):
        gateway_api.read_weights(route, "rules[0]")


def test_a_total_above_a_million_is_refused() -> None:
    with pytest.raises(SpilloverError, match="total must be a whole number from 1 to 1000000, got 1000001"):
        gateway_api.render("shop", "site", "shop", {"shop:80": 1_000_001}, total=1_000_001)


@pytest.mark.parametrize("weight", ["60", 0.5, None, -1])
def test_a_weight_in_force_that_is_no_whole_number_is_named(weight: Any) -> None:
    with pytest.raises(
        SpilloverError, match=f"the weight of 'a:80' must be a whole number of 0 or more, got {weight!r}"
    ):
        gateway_api.read_weights(http_route({"backendRefs": [{"name": "a", "port": 80, "weight": weight}]}))
