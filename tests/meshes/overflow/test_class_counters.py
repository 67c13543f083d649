from __future__ import annotations

from dataclasses import replace
from typing import Any

from spillover.classes import parse_classes
from spillover.meshes.overflow import OverflowSite, gateway
from spillover.meshes.overflow.classes import CLASSES_FILTER, counters

CLASSES = parse_classes(
    [
        {"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}},
        {"name": "paid", "match": {"header": {"name": "x-tier", "prefix": "paid-"}}},
        {"name": "api", "match": {"path": {"prefix": "/api/"}}},
        {"name": "rest"},
    ]
)


def policies(classes: Any = CLASSES) -> dict[str, list[Any]]:
    config = counters(classes)["typed_config"]
    assert config["track_per_rule_stats"] is True
    assert set(config) == {"@type", "shadow_rules", "track_per_rule_stats"}  # nothing that could refuse
    found = config["shadow_rules"]["policies"]
    assert all(policy["principals"] == [{"any": True}] for policy in found.values())
    return {name: policy["permissions"] for name, policy in found.items()}


def test_each_class_is_counted_by_its_match_and_the_last_has_all_others() -> None:
    assert policies() == {
        "class_00_gold": [{"header": {"name": "x-tier", "string_match": {"exact": "gold"}}}],
        "class_01_paid": [{"header": {"name": "x-tier", "string_match": {"prefix": "paid-"}}}],
        "class_02_api": [{"url_path": {"path": {"prefix": "/api/"}}}],
        "class_03_rest": [{"any": True}],
    }


def test_a_last_class_with_a_match_has_what_matches_none_too() -> None:
    assert policies(CLASSES[:1]) == {"class_00_gold": [{"any": True}]}


def test_requests_are_counted_when_they_arrive_and_only_where_there_are_classes() -> None:
    site = OverflowSite("edgeapp", "apps", "edgeapp.example", (), classes=CLASSES)
    filters = [patch["patch"] for patch in gateway.doors(site)["spec"]["configPatches"]]
    # What is put first later goes before what was put first earlier.
    first = [patch["value"]["name"] for patch in filters if patch["operation"] == "INSERT_FIRST"]
    assert first == [CLASSES_FILTER, "spillover.strip"]
    assert CLASSES_FILTER not in str(gateway.doors(replace(site, classes=())))
