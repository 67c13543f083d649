"""The paper's rule, with its boundary RPM = RPM_max."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import Decision, Link, Site, Snapshot
from spillover.policies import get
from spillover.policies.paper import home_share

TRIANGLE = (
    Link("edge1", "edge2", 10),
    Link("edge1", "cloud", 40),
    Link("edge2", "edge1", 10),
    Link("edge2", "cloud", 40),
)


def decide(edge1: float, *, healthy: str = "edge1 edge2 cloud", links: tuple[Link, ...] = TRIANGLE) -> Decision:
    sites = {
        "edge1": Site("edge1", 12, edge1, healthy="edge1" in healthy),
        "edge2": Site("edge2", 12, 4, healthy="edge2" in healthy),
        "cloud": Site("cloud", 24, 0, servers=2, healthy="cloud" in healthy),
    }
    return get("paper")(Snapshot(sites, links), None)[0]


def test_below_the_limit_all_stays() -> None:
    assert decide(11.999).weights["edge1"] == {"edge1": 100}


def test_at_the_limit_the_formula_gives_all_to_home() -> None:
    assert decide(12.0).weights["edge1"] == {"edge1": 100}
    assert decide(12.0).split["edge1"] == {"edge1": 1.0}


def test_above_the_limit_the_limit_stays_and_the_rest_is_divided_by_capacity() -> None:
    decision = decide(20.0)
    assert decision.split["edge1"] == pytest.approx({"edge1": 0.6, "edge2": 0.4 / 3, "cloud": 0.8 / 3})
    assert decision.weights["edge1"] == {"edge1": 60, "edge2": 13, "cloud": 27}
    assert decision.bucket_rps == {"edge1": 12.0, "edge2": 12.0, "cloud": None}
    assert decision.split["cloud"] == {"cloud": 1.0}


def test_the_reason_names_rpm_and_limit() -> None:
    assert decide(20.0).reasons["edge1"] == (
        "edge1 keeps 12.0 of 20.0 rps; 2.7 to edge2 at +10 ms; 5.3 to cloud at +40 ms: "
        "RPM 1200 is not below RPM_max 720"
    )


def test_dead_and_unlinked_peers_get_nothing() -> None:
    assert decide(24.0, healthy="edge1 cloud").split["edge1"] == pytest.approx({"edge1": 0.5, "cloud": 0.5})
    assert decide(24.0, links=TRIANGLE[:1]).split["edge1"] == pytest.approx({"edge1": 0.5, "edge2": 0.5})
    assert decide(24.0, links=()).split["edge1"] == {"edge1": 1.0}
    assert decide(24.0, healthy="edge1").split["edge1"] == {"edge1": 1.0}


def test_a_dead_home_keeps_nothing_while_a_peer_lives() -> None:
    assert decide(6.0, healthy="edge2 cloud").split["edge1"] == pytest.approx({"edge2": 1 / 3, "cloud": 2 / 3})


def test_a_missing_sample_holds_the_last_split() -> None:
    sites = {"edge1": Site("edge1", 12, 24), "edge2": Site("edge2", 12)}
    links = (Link("edge1", "edge2", 10),)
    first, state = get("paper")(Snapshot(sites, links), None)
    gone = sites | {"edge1": Site("edge1", 12, 0, age_s=3.1)}
    held, _ = get("paper")(Snapshot(gone, links), state)
    assert held.weights == first.weights
    assert "held" in held.reasons["edge1"]
    dead = gone | {"edge2": Site("edge2", 12, healthy=False)}
    assert get("paper")(Snapshot(dead, links), state)[0].split["edge1"] == {"edge1": 1.0}


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_the_formula_holds_for_any_demand_and_limit(demand: float, limit: float) -> None:
    share = float(home_share(np.array([demand]), np.array([limit]))[0])
    assert share == (1.0 if demand < limit else pytest.approx(limit / demand))
    assert 0.0 < share <= 1.0


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.integers(1, 10_000))
def test_more_demand_never_keeps_more_weight_at_home(one: float, other: float, total: int) -> None:
    def home_weight(demand: float) -> int:
        sites = {"a": Site("a", 12, demand), "b": Site("b", 12), "c": Site("c", 24)}
        decision, _ = get("paper")(Snapshot(sites, (Link("a", "b"), Link("a", "c"))), None, total=total)
        assert sum(decision.weights["a"].values()) == total
        assert min(decision.weights["a"].values()) > 0
        return decision.weights["a"].get("a", 0)

    low, high = sorted((one, other))
    assert home_weight(low) >= home_weight(high)
