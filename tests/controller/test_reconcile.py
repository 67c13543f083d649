from __future__ import annotations

import pytest
from controller_fakes import SITES, FakeClock, FakeSite, host

from spillover.clusters import Conflict
from spillover.controller.config import VirtualServiceRef
from spillover.controller.reconcile import Applied, Target, reconcile
from spillover.model import SpilloverError

TARGET = Target(VirtualServiceRef(namespace="edgeapp", name="edgeapp"), {site: host("edge1", site) for site in SITES})
WANTED = {"edge1": 50, "edge2": 17, "cloud": 33}


def run(site: FakeSite, weights: dict[str, int]) -> Applied:
    return reconcile(site, TARGET, weights, total=100, clock=FakeClock())


def test_difference_is_written_in_one_call() -> None:
    site = FakeSite("edge1")
    applied = run(site, WANTED)
    assert applied.written
    assert (applied.before, applied.after) == ({"edge1": 100, "edge2": 0, "cloud": 0}, WANTED)
    assert (site.writes, site.weights) == (1, WANTED)


def test_nothing_is_written_when_nothing_differs() -> None:
    site = FakeSite("edge1")
    run(site, WANTED)
    assert not run(site, WANTED).written
    assert site.writes == 1


def test_destination_without_a_weight_gets_none() -> None:
    site = FakeSite("edge1")
    run(site, WANTED)
    run(site, {"edge1": 100})
    assert site.weights == {"edge1": 100, "edge2": 0, "cloud": 0}


def test_conflict_is_recomputed_from_what_is_there_then() -> None:
    site = FakeSite("edge1", conflicts=2)
    assert run(site, WANTED).written
    assert site.reads == 3


def test_endless_conflict_is_left_to_the_next_period() -> None:
    site = FakeSite("edge1", conflicts=99)
    with pytest.raises(Conflict):
        run(site, WANTED)
    assert site.reads == 3
    assert site.writes == 0


def test_weights_that_do_not_sum_up_are_refused_before_a_write() -> None:
    site = FakeSite("edge1")
    with pytest.raises(SpilloverError, match="must sum to 100, got 99"):
        run(site, {"edge1": 99})
    assert site.writes == 0


def test_destination_that_is_not_in_the_route_is_named() -> None:
    target = Target(TARGET.virtual_service, {"edge1": host("edge1", "edge1"), "edge2": "elsewhere"})
    with pytest.raises(SpilloverError, match="unknown destination 'elsewhere'"):
        reconcile(FakeSite("edge1"), target, {"edge1": 100}, total=100, clock=FakeClock())
