"""Rounding many origins at once gives what rounding one by one gives, and keeps sites within their limits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import Link, Site, Snapshot
from spillover.policies import get
from spillover.policies.layout import Layout
from spillover.policies.rounding import fit, to_units
from spillover.weights import to_integers


def star(peers: int, origins: int = 1) -> Layout:
    names = [f"p{index}" for index in range(peers)]
    sites = {name: Site(name, 10.0) for name in [*(f"o{index}" for index in range(origins)), *names]}
    links = tuple(Link(f"o{index}", name, float(rtt)) for index in range(origins) for rtt, name in enumerate(names))
    return Layout.of(Snapshot(sites, links))


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.integers(1, 10_000))
def test_each_origin_is_rounded_by_the_largest_remainder(shares: list[float], total: int) -> None:
    layout = star(4)
    fraction = np.zeros(len(layout.origin))
    mine = np.flatnonzero(layout.origin == 0)
    fraction[mine] = shares
    units = to_units(layout, fraction, total)
    names = [layout.names[index] for index in layout.destination[mine]]
    if sum(shares) > 0:
        expected = to_integers(dict(zip(names, shares, strict=True)), total, tie_order=names)
        assert dict(zip(names, units[mine].tolist(), strict=True)) == expected
    assert units[np.flatnonzero(layout.origin == 0)].sum() == total
    assert (layout.by_origin(units.astype(float)) == total).all()


def test_an_origin_without_shares_keeps_all() -> None:
    layout = star(2)
    units = to_units(layout, np.zeros(len(layout.origin)), 7)
    assert units[: layout.size].tolist() == [7, 7, 7]
    assert units[layout.size :].sum() == 0


def test_units_move_from_a_site_above_its_limit_to_one_with_room() -> None:
    layout = star(2)
    units = np.zeros(len(layout.origin), dtype=np.int64)
    to_p0, to_p1 = layout.size, layout.size + 1
    units[[0, to_p0, to_p1]] = [5, 3, 2]
    served, limit = np.array([10.0, 0.0, 0.0]), np.array([5.0, 2.0, 4.0])
    moved = fit(layout, units, served, limit=limit, total=10)
    assert moved[[0, to_p0, to_p1]].tolist() == [5, 2, 3]
    assert units[to_p0] == 3


def test_units_stay_where_a_move_would_overfill_another_site_more() -> None:
    layout = star(2)
    units = np.zeros(len(layout.origin), dtype=np.int64)
    units[[0, layout.size, layout.size + 1]] = [5, 3, 2]
    moved = fit(layout, units, np.array([10.0, 0.0, 0.0]), limit=np.array([4.9, 2.9, 2.0]), total=10)
    assert (moved == units).all()


def test_without_room_anywhere_units_move_to_where_they_overfill_least() -> None:
    layout = star(2)
    units = np.zeros(len(layout.origin), dtype=np.int64)
    units[[0, layout.size, layout.size + 1]] = [50, 3, 2]
    moved = fit(layout, units, np.array([55.0, 0.0, 0.0]), limit=np.array([50.0, 2.5, 2.0]), total=55)
    assert moved[[0, layout.size, layout.size + 1]].tolist() == [51, 2, 2]


def test_units_of_an_origin_without_demand_stay() -> None:
    sites = {name: Site(name, 10.0) for name in ("a", "b", "c")}
    layout = Layout.of(Snapshot(sites, (Link("a", "b", 0.0), Link("b", "a", 0.0))))
    units = np.array([10, 10, 10, 0, 0])
    # b has no demand: its units weigh nothing, whatever a sends there
    moved = fit(layout, units, np.array([20.0, 0.0, 0.0]), limit=np.array([9.5, 9.5, 9.5]), total=10)
    assert moved.tolist() == [5, 10, 10, 5, 0]


def test_many_small_units_move_until_the_fullest_are_equally_full() -> None:
    layout = star(3)
    units = np.zeros(len(layout.origin), dtype=np.int64)
    units[0] = 1000
    moved = fit(layout, units, np.array([40.0, 0.0, 0.0, 0.0]), limit=np.full(4, 5.0), total=1000)
    assert moved[[0, *range(layout.size, len(units))]].tolist() == [250, 250, 250, 250]


def test_an_origin_without_demand_keeps_its_weights_at_home_while_its_peer_is_full() -> None:
    sites = {"s1": Site("s1", 2.0), "s2": Site("s2", 1.0, demand_rps=2.0)}
    snapshot = Snapshot(sites, (Link("s1", "s2", 0.0), Link("s2", "s1", 0.0)))
    decision, _ = get("cooperative")(snapshot, None, total=1)
    assert decision.weights["s1"] == {"s1": 1}
