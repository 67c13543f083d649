from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from splits import exact_splits

from spillover.meshes import consul
from spillover.model import SpilloverError

TOTALS = [total for total in range(1, 10_001) if 10_000 % total == 0]


def splitter(*splits: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "consul.hashicorp.com/v1alpha1",
        "kind": "ServiceSplitter",
        "metadata": {"name": "shop", "namespace": "site", "resourceVersion": "42"},
        "spec": {"splits": list(splits)},
    }


def test_a_new_splitter_is_named_after_its_service() -> None:
    assert consul.render("shop", "site", "shop", {"shop/home": 3333, "shop-edge2": 6667}, total=10_000) == {
        "apiVersion": "consul.hashicorp.com/v1alpha1",
        "kind": "ServiceSplitter",
        "metadata": {"name": "shop", "namespace": "site"},
        "spec": {
            "splits": [
                {"weight": 33.33, "service": "shop", "serviceSubset": "home"},
                {"weight": 66.67, "service": "shop-edge2"},
            ]
        },
    }
    with pytest.raises(SpilloverError, match="must be that of the service it splits, 'shop', got 'split'"):
        consul.render("split", "site", "shop", {"shop/home": 100})


@given(st.data())
def test_percentages_are_exact_hundredths_and_valid_by_the_documentation(data: st.DataObject) -> None:
    total = data.draw(st.sampled_from(TOTALS))
    weights = data.draw(exact_splits(data.draw(st.integers(1, 8)), total))
    made = consul.render("shop", "site", "shop", {f"s{i}": weight for i, weight in enumerate(weights)}, total=total)
    for split, weight in zip(made["spec"]["splits"], weights, strict=True):
        assert set(split) <= {"weight", "service", "serviceSubset"}
        assert 0 <= split["weight"] <= 100
        # Consul counts in hundredths of a percent, and refuses another sum than 10,000 of them.
        assert round(split["weight"] * 100) == weight * (10_000 // total)
        assert split["weight"] == round(split["weight"], 2)
    assert sum(round(split["weight"] * 100) for split in made["spec"]["splits"]) == 10_000


def test_a_split_without_service_is_of_the_splitters_own() -> None:
    obj = splitter({"weight": 60.5, "serviceSubset": "v1"}, {"weight": 39.5})
    assert consul.read_weights(obj) == {"shop/v1": 60.5, "shop": 39.5}


def test_what_consul_rounds_away_is_no_change() -> None:
    obj = splitter({"weight": 33.333, "service": "a"}, {"weight": 66.667, "service": "b"})
    assert consul.set_weights(obj, {"a": 3333, "b": 6667}, total=10_000) == (obj, False)


def test_a_kept_percentage_counts_in_the_sum() -> None:
    obj = splitter({"weight": 33.33, "service": "a"}, {"weight": 66.67, "service": "b"})
    with pytest.raises(SpilloverError, match=r"site/shop must sum to 100, got 96.67: a=30, b=66.67"):
        consul.set_weights(obj, {"a": 30})


@pytest.mark.parametrize("total", [0, -1, 3, 1000.0, True, 20_000])
def test_a_total_that_gives_no_whole_hundredths_is_refused(total: Any) -> None:
    obj = splitter({"weight": 100, "service": "a"})
    with pytest.raises(SpilloverError, match=f"total must be a divisor of 10000 for a ServiceSplitter, got {total!r}"):
        consul.set_weights(obj, {"a": 100}, total=total)


@pytest.mark.parametrize("weight", [-0.01, 100.01, "50", None, True, float("nan")])
def test_a_percentage_in_force_that_is_none_is_named(weight: Any) -> None:
    with pytest.raises(SpilloverError, match=f"the weight of 'a' must be a number from 0 to 100, got {weight!r}"):
        consul.read_weights(splitter({"weight": weight, "service": "a"}))
