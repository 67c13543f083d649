"""A lazy mapping is the dict that it stands for."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from spillover.model import Link, Site, Snapshot
from spillover.policies import NAMES, get
from spillover.policies.lazy import Lazy


def test_it_is_built_once_and_only_when_somebody_looks() -> None:
    calls = []

    def build() -> dict[str, int]:
        calls.append(1)
        return {"a": 1, "b": 2}

    lazy = Lazy(build)
    assert not calls
    assert lazy["a"] == 1
    assert list(lazy.items()) == [("a", 1), ("b", 2)]
    assert lazy == {"a": 1, "b": 2}
    assert lazy == {"a": 1, "b": 2}
    assert len(calls) == 1


@pytest.mark.parametrize("change", [copy.deepcopy, lambda lazy: pickle.loads(pickle.dumps(lazy))])  # noqa: S301
def test_copied_and_pickled_it_is_a_dict(change: object) -> None:
    assert callable(change)
    assert type(change(Lazy(lambda: {"a": 1}))) is dict


@pytest.mark.parametrize("name", NAMES)
def test_a_decision_as_json_does_not_depend_on_what_was_read_before(name: str) -> None:
    sites = {"a": Site("a", 10, 20), "b": Site("b", 10), "c": Site("c", 10, 3)}
    snapshot = Snapshot(sites, (Link("a", "b", 10), Link("a", "c", 5), Link("c", "b", 1)))
    one, other = get(name)(snapshot, None)[0], get(name)(snapshot, None)[0]
    assert one.reasons["a"].startswith("a ")
    assert json.dumps(one.to_dict()) == json.dumps(other.to_dict())
    assert one == other
