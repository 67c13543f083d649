from __future__ import annotations

from typing import Any

import pytest

from spillover.meshes import app_mesh
from spillover.model import SpilloverError


def test_a_new_router_has_one_listener_and_one_route() -> None:
    assert app_mesh.render("shop", "site", "shop.site.svc:80", {"shop-home": 75, "edge2/shop:8080": 25}) == {
        "apiVersion": "appmesh.k8s.aws/v1beta2",
        "kind": "VirtualRouter",
        "metadata": {"name": "shop", "namespace": "site"},
        "spec": {
            "listeners": [{"portMapping": {"port": 80, "protocol": "http"}}],
            "routes": [
                {
                    "name": "shop",
                    "httpRoute": {
                        "match": {"prefix": "/"},
                        "action": {
                            "weightedTargets": [
                                {"virtualNodeRef": {"name": "shop-home"}, "weight": 75},
                                {"virtualNodeRef": {"namespace": "edge2", "name": "shop"}, "port": 8080, "weight": 25},
                            ]
                        },
                    },
                }
            ],
        },
    }


def test_a_host_without_port_is_refused() -> None:
    with pytest.raises(SpilloverError, match="the host must have the form host:port, got 'shop'"):
        app_mesh.render("shop", "site", "shop", {"shop-home": 100})


@pytest.mark.parametrize("total", [0, 101, 50.0, True])
def test_a_total_that_app_mesh_does_not_take_is_refused(total: Any) -> None:
    with pytest.raises(
        SpilloverError, match=f"total must be a whole number from 1 to 100 for a VirtualRouter, got {total}"
    ):
        app_mesh.render("shop", "site", "shop:80", {"shop-home": 100}, total=total)


@pytest.mark.parametrize("kind", ["httpRoute", "http2Route", "grpcRoute", "tcpRoute"])
def test_a_named_route_of_any_protocol_is_found(kind: str) -> None:
    arn = "arn:aws:appmesh:eu-west-1:111122223333:mesh/m/virtualNode/n"
    targets = [{"virtualNodeARN": arn, "weight": 90}, {"virtualNodeRef": {"name": "b"}, "port": 80, "weight": 10}]
    other = {"action": {"weightedTargets": [{"virtualNodeRef": {"name": "x"}, "weight": 1}]}}
    router = {
        "metadata": {"name": "shop", "namespace": "site", "resourceVersion": "42"},
        "spec": {
            "routes": [
                {"name": "other", "httpRoute": other},
                {"name": "shop", kind: {"action": {"weightedTargets": targets}}},
            ]
        },
    }
    assert app_mesh.read_weights(router, "shop") == {arn: 90, "b:80": 10}
    patch = app_mesh.json_patch(router, {arn: 40, "b:80": 60}, "shop")
    assert [operation["path"] for operation in patch[1:]] == [
        f"/spec/routes/1/{kind}/action/weightedTargets/0/weight",
        f"/spec/routes/1/{kind}/action/weightedTargets/1/weight",
    ]
    with pytest.raises(SpilloverError, match=r"2 routes that fit \(other, shop\)"):
        app_mesh.read_weights(router)
