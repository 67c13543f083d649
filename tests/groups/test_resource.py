from __future__ import annotations

from typing import Any

import pytest
from groups_fakes import group, raw_spec, stored

from spillover.groups.resource import Group, parse_spec
from spillover.model import SpilloverError


def test_what_a_spec_leaves_out_has_the_defaults_of_the_schema() -> None:
    raw = raw_spec()
    del raw["policy"], raw["mode"], raw["links"]
    spec = parse_spec(raw)
    assert (spec.policy, spec.mode, spec.paused, spec.period_seconds) == ("cooperative", "overflow", False, 1.0)
    assert (spec.total_weight, spec.limits.max_utilisation, spec.on_missing, spec.links) == (100, 0.95, "hold", ())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"typo": 1}, "spec: typo is not a known field, got 1"),
        ({"mode": "sideways"}, "spec: mode must be 'overflow' or 'weights', got 'sideways'"),
        ({"sites": []}, "spec: sites must have at least 1 item"),
        ({"sites": [{"name": "a", "capacityRpm": 1}]}, "spec: sites.0.demand must be given, got none"),
        ({"periodSeconds": float("nan")}, "spec: periodSeconds must be a finite number, got nan"),
        ({"sites": 2 * [raw_spec()["sites"][2]]}, "spec: sites must name each site once, got 'cloud' twice"),
        (
            {"sites": [raw_spec()["sites"][2] | {"access": {"kubeconfig": "cloud"}}]},
            "spec: sites.0: site cloud must have both access and service, or neither",
        ),
        (
            {"sites": [{"name": "a", "capacityRpm": 1, "demand": {}}]},
            "spec: sites.0.demand: demand must have one of collectorUrl and source",
        ),
        ({"links": [{"to": "cloud"}]}, "spec: links.0.from must be given, got none"),
    ],
)
def test_a_wrong_spec_is_one_sentence_in_the_words_of_the_resource(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpilloverError) as caught:
        parse_spec(raw_spec() | changes)
    assert str(caught.value).startswith(sentence)


def test_a_resource_that_was_never_reported_on_has_no_status() -> None:
    bare = stored()
    del bare["status"]
    assert Group.of(bare).status == {}
    assert str(Group.of(bare)) == "spillover-system/shop"


def test_the_older_of_two_groups_sorts_first_and_no_two_alike() -> None:
    old = group("z", creationTimestamp="2026-11-24T01:00:00Z")
    new, twin = group("a"), group("b")
    assert sorted([twin, new, old], key=lambda it: it.age_order) == [old, new, twin]


def test_only_a_true_pauses() -> None:
    assert group(spec=raw_spec(paused=True)).paused
    assert not group(spec=raw_spec(paused="yes")).paused
    assert not group(spec=raw_spec()).paused
