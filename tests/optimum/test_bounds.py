"""Bounds that no policy can beat."""

from __future__ import annotations

import pytest

from spillover.model import Link, Site, Snapshot, SpilloverError
from spillover.optimum import (
    fluid_oracle_ms,
    goodput_bound_rps,
    lower_bound_ms,
    necessary_spill_rps,
    pooling_bound_ms,
    solve,
    transport_bound_ms,
)


def pair(demand: float, *, linked: bool = True, rtt_ms: float = 10) -> Snapshot:
    sites = {"a": Site("a", 10, demand), "b": Site("b", 10)}
    return Snapshot(sites, (Link("a", "b", rtt_ms),) if linked else ())


def test_transport_pays_for_what_cannot_stay() -> None:
    assert transport_bound_ms(pair(8)) == pytest.approx(100)
    assert transport_bound_ms(pair(16)) == pytest.approx(100 + 10 * 6 / 16)
    assert transport_bound_ms(pair(16, linked=False)) is None
    assert transport_bound_ms(pair(0)) is None


def test_pooling_is_one_queue_with_all_servers() -> None:
    # M/M/2 at rho = 0.8: 1/mu / (1 - rho^2)
    assert pooling_bound_ms(pair(16)) == pytest.approx(100 / (1 - 0.64))
    assert pooling_bound_ms(pair(20)) is None


def test_the_lower_bound_lies_below_the_optimum() -> None:
    for demand in (2, 9, 16, 18):
        bound, best = lower_bound_ms(pair(demand)), solve(pair(demand)).mean_ms
        assert bound is not None
        assert best is not None
        assert bound <= best
    assert lower_bound_ms(pair(25)) is None


def test_goodput_and_necessary_spill_count_living_servers() -> None:
    sites = {"a": Site("a", 10, 30), "b": Site("b", 10, 5, healthy=False)}
    assert goodput_bound_rps(Snapshot(sites)) == 10
    assert necessary_spill_rps(Snapshot(sites)) == 25


def test_the_fluid_oracle_queues_when_there_is_no_link_and_spills_when_there_is() -> None:
    burst = {"a": [(0.0, 20.0), (10.0, 0.0)]}
    # alone: q rises by 10/s for 10 s and drains for 10 s: area 1000 over 200 requests = 5 s
    alone = fluid_oracle_ms(pair(0, linked=False), burst, 20, slots=400)
    assert alone == pytest.approx(5000, rel=0.01)
    # linked: half of the requests pay 10 ms
    assert fluid_oracle_ms(pair(0), burst, 20, slots=50) == pytest.approx(5, rel=0.01)
    assert fluid_oracle_ms(pair(0), {}, 20) is None


def test_the_fluid_oracle_refuses_unknown_origins() -> None:
    with pytest.raises(SpilloverError, match=r"arrivals\.c must name a known site"):
        fluid_oracle_ms(pair(0), {"c": [(0, 1)]}, 10)
