from __future__ import annotations

from functools import partial

import pytest

from spillover.meshes import smi
from spillover.meshes.catalogue import get
from spillover.model import SpilloverError


def test_a_new_split_divides_a_root_service_between_others() -> None:
    assert smi.render("shop", "site", "shop", {"shop-home": 75, "shop-edge2": 25}) == {
        "apiVersion": "split.smi-spec.io/v1alpha4",
        "kind": "TrafficSplit",
        "metadata": {"name": "shop", "namespace": "site"},
        "spec": {
            "service": "shop",
            "backends": [{"service": "shop-home", "weight": 75}, {"service": "shop-edge2", "weight": 25}],
        },
    }


@pytest.mark.parametrize(
    ("mesh", "version"),
    [("linkerd-smi", "v1alpha2"), ("open-service-mesh", "v1alpha2"), ("traefik-mesh", "v1alpha3"), ("smi", "v1alpha4")],
)
def test_each_mesh_gets_the_version_that_it_serves(mesh: str, version: str) -> None:
    made = get(mesh).render("shop", "site", "shop", {"shop-home": 100})
    assert made["apiVersion"] == f"split.smi-spec.io/{version}"


def test_the_version_with_quantities_is_not_rendered() -> None:
    render = partial(smi.render, version="v1alpha1")
    with pytest.raises(SpilloverError, match="must be one of v1alpha2, v1alpha3, v1alpha4, got 'v1alpha1'"):
        render("shop", "site", "shop", {"shop-home": 100})


def test_the_root_is_no_destination_of_itself() -> None:
    with pytest.raises(SpilloverError, match="must not include its root service, got 'shop'"):
        smi.render("shop", "site", "shop", {"shop": 75, "shop-edge2": 25})


def test_a_whole_float_is_a_whole_number() -> None:
    made = smi.render("shop", "site", "shop", {"shop-home": 75, "shop-edge2": 25})
    made["spec"]["backends"][0]["weight"] = 75.0
    assert smi.set_weights(made, {"shop-home": 75, "shop-edge2": 25}) == (made, False)


def test_a_quantity_is_refused_and_named() -> None:
    made = smi.render("shop", "site", "shop", {"shop-home": 100})
    made["spec"]["backends"][0]["weight"] = "500m"
    with pytest.raises(
        SpilloverError, match="the weight of 'shop-home' must be a whole number of 0 or more, got '500m'"
    ):
        smi.read_weights(made)
