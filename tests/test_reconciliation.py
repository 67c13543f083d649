from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.clusters import Conflict, Unreachable
from spillover.meshes import istio
from spillover.model import SpilloverError
from spillover.reconciliation import ATTEMPTS, Target, paper_weights, reconcile_weights

TARGET = Target("default", "svc1")
WANTED = {"a": 25, "b": 75}


class FakeCluster:
    """Keeps one VirtualService; answers the first writes with the given errors."""

    def __init__(self, a: int, b: int, *errors: Exception) -> None:
        route = [{"destination": {"host": "a"}, "weight": a}, {"destination": {"host": "b"}, "weight": b}]
        self.service = {"metadata": {"name": "svc1", "resourceVersion": "1"}, "spec": {"http": [{"route": route}]}}
        self.calls: list[str] = []
        self._errors = list(errors)

    def get_virtual_service(self, *_: str) -> dict[str, Any]:
        self.calls.append("get")
        return self.service

    def patch_virtual_service_weights(
        self, _namespace: str, _name: str, _patch: object, dry_run: bool, **_: str
    ) -> dict[str, Any]:
        self.calls.append("dry run" if dry_run else "patch")
        if self._errors:
            raise self._errors.pop(0)
        return istio.set_weights(self.service, WANTED)[0]


def reconcile(fake: FakeCluster, **options: Any) -> Any:
    return reconcile_weights(fake, TARGET, WANTED, **options)


def test_a_difference_is_written_once() -> None:
    fake = FakeCluster(50, 50)
    change = reconcile(fake)
    assert change.changed
    assert (change.weights_before, change.weights) == ({"a": 50, "b": 50}, WANTED)
    assert fake.calls == ["get", "patch"]


def test_the_time_of_the_write_alone_is_told() -> None:
    times_s = iter([5.0, 5.25])
    assert reconcile(FakeCluster(50, 50), clock=lambda: next(times_s)).write_ms == 250


def test_equal_weights_are_not_written() -> None:
    fake = FakeCluster(25, 75)
    change = reconcile(fake)
    assert not change.changed
    assert change.after is change.before
    assert change.write_ms == 0
    assert fake.calls == ["get"]


def test_a_dry_run_is_passed_on() -> None:
    fake = FakeCluster(50, 50)
    assert reconcile(fake, dry_run=True).changed
    assert fake.calls == ["get", "dry run"]


def test_a_conflict_is_answered_by_reading_again() -> None:
    fake = FakeCluster(50, 50, Conflict("changed"))
    assert reconcile(fake).changed
    assert fake.calls == ["get", "patch", "get", "patch"]


def test_conflicts_are_bounded() -> None:
    fake = FakeCluster(50, 50, *[Conflict("changed")] * 99)
    with pytest.raises(Conflict):
        reconcile(fake)
    assert fake.calls == ["get", "patch"] * ATTEMPTS
    fake.calls.clear()
    with pytest.raises(Conflict):
        reconcile(fake, attempts=2)
    assert fake.calls == ["get", "patch"] * 2


def test_other_failures_are_not_repeated() -> None:
    fake = FakeCluster(50, 50, Unreachable("silent"))
    with pytest.raises(Unreachable):
        reconcile(fake)
    assert fake.calls == ["get", "patch"]


RPM = st.floats(0, 1e6)
RPM_MAX = st.floats(1, 1e6)
PEERS = st.dictionaries(st.sampled_from(["p", "q", "r"]), st.floats(1, 1e6), min_size=1)


@given(rpm=RPM, rpm_max=RPM_MAX, peers=PEERS, total=st.sampled_from([100, 1000, 10_000]))
def test_the_rule_gives_every_destination_a_weight_and_the_exact_total(
    rpm: float, rpm_max: float, peers: dict[str, float], total: int
) -> None:
    weights, reason = paper_weights(rpm=rpm, rpm_max=rpm_max, home="home", peers=peers, total=total)
    assert set(weights) == {"home", *peers}
    assert sum(weights.values()) == total
    assert min(weights.values()) >= 0
    assert reason
    ideal = total if rpm < rpm_max else total * rpm_max / rpm
    assert abs(weights["home"] - ideal) < 1


@given(rpm_max=RPM_MAX, peers=PEERS)
def test_the_rule_keeps_everything_at_the_boundary(rpm_max: float, peers: dict[str, float]) -> None:
    for rpm in (rpm_max, math.nextafter(rpm_max, 0), math.nextafter(rpm_max, math.inf)):
        weights, _ = paper_weights(rpm=rpm, rpm_max=rpm_max, home="home", peers=peers)
        assert weights["home"] == 100


@given(low=RPM, high=RPM, rpm_max=RPM_MAX)
def test_the_rule_never_keeps_more_of_a_higher_demand(low: float, high: float, rpm_max: float) -> None:
    low, high = sorted((low, high))
    kept = [paper_weights(rpm=rpm, rpm_max=rpm_max, home="home", peers={"p": 1.0})[0]["home"] for rpm in (low, high)]
    assert kept[0] >= kept[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rpm": -1}, "rpm must be a number 0 or more, got -1"),
        ({"rpm": math.inf}, "rpm must be a number 0 or more, got inf"),
        ({"rpm": True}, "rpm must be a number 0 or more, got True"),
        ({"rpm_max": 0}, "rpm_max must be a number above 0, got 0"),
        ({"rpm_max": math.nan}, "rpm_max must be a number above 0, got nan"),
        ({"peers": {}}, "peers must name at least one destination, got none"),
        ({"peers": {"p": 0}}, "peers.p must be a number above 0, got 0"),
        ({"peers": {"home": 5}}, "peers must not name home, got 'home'"),
    ],
)
def test_a_number_out_of_range_is_named(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"rpm": 800, "rpm_max": 600, "home": "home", "peers": {"p": 600}}
    with pytest.raises(SpilloverError) as caught:
        paper_weights(**(arguments | change))
    assert str(caught.value) == message
