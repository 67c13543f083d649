from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from spillover.groups.metrics import groups_registry


def registry(value: float) -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("demand", "What arrives", ["site"], registry=made).labels("edge1").set(value)
    return made


def test_each_series_carries_its_group_and_each_family_stands_once() -> None:
    registries = {"apps/shop": registry(1), "apps/books": registry(2)}
    text = generate_latest(groups_registry(lambda: registries)).decode()
    assert text.count("# HELP demand ") == 1
    assert 'demand{group="apps/shop",site="edge1"} 1.0' in text
    assert 'demand{group="apps/books",site="edge1"} 2.0' in text


def test_a_group_that_went_is_shown_no_more() -> None:
    registries = {"apps/shop": registry(1)}
    both = groups_registry(lambda: registries)
    registries.clear()
    assert b"apps/shop" not in generate_latest(both)
