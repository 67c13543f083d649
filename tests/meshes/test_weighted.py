from __future__ import annotations

import re
from typing import Any

import pytest

from spillover.meshes import weighted
from spillover.meshes.weighted import Candidate, Route
from spillover.model import SpilloverError

ITEMS = [{"to": "a", "weight": 60}, {"to": "b", "weight": 40}]
OBJECT: dict[str, Any] = {"metadata": {"name": "x", "resourceVersion": "7"}, "spec": {"list": ITEMS}}


def route() -> Route[int]:
    return Route.of("Thing x", Candidate(None, ("spec", "list"), ITEMS), ["a", "b"], [60, 40])


def test_only_what_differs_is_a_change() -> None:
    assert route().changes({"a": 60, "b": 40}, 100) == {}
    assert route().changes({"a": 70, "b": 30}, 100) == {
        ("spec", "list", 0, "weight"): 70,
        ("spec", "list", 1, "weight"): 30,
    }
    assert route().changes({"a": 20}, 60) == {("spec", "list", 0, "weight"): 20}


def test_a_change_is_made_in_a_copy() -> None:
    after, changed = weighted.with_changes(OBJECT, {("spec", "list", 1, "weight"): 41})
    assert changed
    assert after["spec"]["list"] == [{"to": "a", "weight": 60}, {"to": "b", "weight": 41}]
    assert OBJECT["spec"]["list"][1]["weight"] == 40
    assert weighted.with_changes(OBJECT, {}) == (OBJECT, False)


def test_a_patch_without_changes_needs_no_version() -> None:
    assert weighted.patch({}, "Thing x", {}) == []
    with pytest.raises(SpilloverError, match=r"Thing x has no metadata\.resourceVersion to test against"):
        weighted.patch({}, "Thing x", {("a",): 1})


def test_an_object_is_described_by_what_it_has() -> None:
    assert weighted.describe("Thing", {"metadata": {"namespace": "n", "name": "x"}}) == "Thing n/x"
    assert weighted.describe("Thing", {"metadata": {"name": "x"}}) == "Thing x"
    assert weighted.describe("Thing", {}) == "Thing (unnamed)"


@pytest.mark.parametrize("name", ["shop", "shop.example", "s" * 63, "1"])
def test_a_kubernetes_name_is_taken(name: str) -> None:
    assert weighted.metadata_of(name, "site") == {"name": name, "namespace": "site"}


def test_absent_parts_are_left_out_and_a_port_is_a_number() -> None:
    form = re.compile(r"(?:(?P<space>\w+)/)?(?P<name>\w+)(?::(?P<port>\d+))?")
    assert weighted.parse("destination", "a", form, "[space/]name[:port]") == {"name": "a"}
    assert weighted.parse("destination", "b/a:80", form, "[space/]name[:port]") == {
        "space": "b",
        "name": "a",
        "port": 80,
    }
