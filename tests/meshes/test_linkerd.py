from __future__ import annotations

import pytest

from spillover.meshes import linkerd
from spillover.model import SpilloverError


def test_a_new_route_is_of_linkerds_group_and_attached_to_a_port_of_a_service() -> None:
    made = linkerd.render("shop", "site", "shop:80", {"shop-home:80": 75, "edge2/shop:80": 25})
    assert made["apiVersion"] == "policy.linkerd.io/v1beta3"
    assert made["kind"] == "HTTPRoute"
    assert made["spec"]["parentRefs"] == [{"group": "core", "kind": "Service", "name": "shop", "port": 80}]
    assert linkerd.read_weights(made) == {"shop-home:80": 75, "edge2/shop:80": 25}


def test_a_host_without_port_is_refused() -> None:
    with pytest.raises(SpilloverError, match="the host must have the form service:port, got 'shop'"):
        linkerd.render("shop", "site", "shop", {"shop-home:80": 100})
