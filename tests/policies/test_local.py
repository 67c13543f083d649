"""Local never spills."""

from __future__ import annotations

import pytest

from spillover.model import Link, Site, Snapshot, SpilloverError
from spillover.policies import NAMES, get


def test_everything_stays_home_whatever_happens() -> None:
    sites = {"a": Site("a", 10, 50, healthy=False), "b": Site("b", 10, 0)}
    decision, state = get("local")(Snapshot(sites, (Link("a", "b"),)), None)
    assert decision.split == {"a": {"a": 1.0}, "b": {"b": 1.0}}
    assert decision.weights == {"a": {"a": 100}, "b": {"b": 100}}
    assert decision.bucket_rps == {"a": None, "b": None}
    assert decision.grants_rps == {"a": {}, "b": {"a": 0.0}}
    assert decision.shed_rps == {"a": 0.0, "b": 0.0}
    assert decision.predicted_mean_ms is None
    assert get("local")(Snapshot(sites), state)[0].split == decision.split


def test_the_mean_is_that_of_the_queues() -> None:
    decision, _ = get("local")(Snapshot({"a": Site("a", 10, 5), "b": Site("b", 20, 5)}), None)
    # M/M/1: 1/(10-5) = 200 ms and 1/(20-5) = 66.7 ms, in equal parts.
    assert decision.predicted_mean_ms == pytest.approx((200 + 1000 / 15) / 2)


def test_an_unknown_policy_is_refused_with_the_known_names() -> None:
    with pytest.raises(SpilloverError, match=f"policy must be one of {', '.join(NAMES)}, got 'magic'"):
        get("magic")
