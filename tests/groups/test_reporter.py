from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from groups_fakes import SITES, FakeApi, Recorder, raw_spec, stored, tick

from spillover.clusters import Conflict, Forbidden, NotFound, Unreachable
from spillover.groups.reporter import Reporter
from spillover.groups.resource import Group
from spillover.groups.translation import Means
from spillover.groups.verdict import judge

if TYPE_CHECKING:
    from spillover.groups.tick import Tick

MEANS = Means({name: Path(__file__) for name in SITES})


class Fixture:
    """A reporter whose feed shows at once what is stored, unless a test holds it back."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.recorder = Recorder()
        self.reporter = Reporter(self.api, "me", self.recorder.edges)
        self.frozen: list[Group] | None = None

    def report(self, seen: Tick | None, *, after_s: float = 1.0) -> None:
        self.recorder.clock.now_s += after_s
        groups = self.frozen or [Group.of(obj) for obj in self.api.objects.values()]
        verdicts = judge(groups, MEANS, {})
        self.reporter.report({uid: (verdict, seen) for uid, verdict in verdicts.items()})

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.objects["uid-shop"]["status"]
        return status

    def ready(self) -> str:
        return str(next(it["status"] for it in self.status["conditions"] if it["type"] == "Ready"))


@pytest.fixture
def fixture() -> Fixture:
    it = Fixture()
    it.api.put(stored("shop"))
    return it


def test_a_status_is_written_once_and_then_not_again(fixture: Fixture) -> None:
    for _ in range(30):
        fixture.report(tick())
    assert len(fixture.api.patches) == 1
    assert (fixture.status["demandRpm"], fixture.ready()) == (1500, "True")


def test_numbers_wait_and_conditions_do_not(fixture: Fixture) -> None:
    fixture.report(tick())
    for second in range(60):
        fixture.report(tick(demand_rpm={"edge1": 1000.0 + 100 * second}))
    assert len(fixture.api.patches) <= 1 + 60 / 10
    before = len(fixture.api.patches)
    fixture.report(tick(saturated=True))
    assert len(fixture.api.patches) == before + 1


def test_a_new_generation_is_observed_at_once(fixture: Fixture) -> None:
    fixture.report(tick())
    fixture.api.put(stored("shop", raw_spec(periodSeconds=2), generation=2, status=fixture.status))
    fixture.report(None)
    assert fixture.status["observedGeneration"] == 2
    assert fixture.ready() == "False"


def test_a_feed_that_lags_causes_no_second_write(fixture: Fixture) -> None:
    fixture.frozen = [Group.of(obj) for obj in fixture.api.objects.values()]
    for _ in range(8):
        fixture.report(tick())
    assert len(fixture.api.patches) == 1


def test_a_status_that_a_person_wiped_comes_back(fixture: Fixture) -> None:
    fixture.report(tick())
    fixture.api.put(stored("shop"))
    fixture.report(tick(), after_s=11.0)
    assert fixture.ready() == "True"


def test_a_new_leader_writes_nothing_that_stands_there_already(fixture: Fixture) -> None:
    fixture.report(tick())
    fixture.reporter = Reporter(fixture.api, "another", fixture.recorder.edges)
    fixture.report(tick())
    assert len(fixture.api.patches) == 1


def test_events_tell_what_changed_and_of_what(fixture: Fixture) -> None:
    fixture.report(tick())
    fixture.report(tick(saturated=True))
    (event,) = fixture.api.notes
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "DemandAboveCapacity", "Saturated")
    assert event["note"] == "Saturated is True: all sites together cannot serve the demand"
    assert event["regarding"]["uid"] == "uid-shop"


def test_what_flaps_is_told_once_a_minute(fixture: Fixture) -> None:
    for second in range(60):
        fixture.report(tick(saturated=bool(second % 2)))
    assert len(fixture.api.notes) == 2
    for second in range(10):
        fixture.report(tick(saturated=bool(second % 2)))
    assert 2 < len(fixture.api.notes) <= 4


def test_a_failing_api_server_is_left_alone_for_all_groups(fixture: Fixture) -> None:
    fixture.api.put(stored("books", raw_spec("books")))
    fixture.api.faults.extend(Unreachable("it did not answer within 2 s") for _ in range(50))
    for _ in range(60):
        fixture.report(tick())
    assert 50 - len(fixture.api.faults) <= 10
    assert fixture.recorder.events == ["status_failed"]
    fixture.api.faults.clear()
    fixture.report(tick(), after_s=60.0)
    assert {ref.name for ref, _, _ in fixture.api.patches} == {"shop", "books"}


def test_what_is_forbidden_is_logged_and_tried_again(fixture: Fixture) -> None:
    fixture.api.faults.append(Forbidden("the API server forbids it"))
    fixture.report(tick())
    assert fixture.recorder.events == ["status_failed"]
    fixture.report(tick(), after_s=5.0)
    assert fixture.ready() == "True"


@pytest.mark.parametrize("error", [NotFound("gone"), Conflict("another one")])
def test_a_group_that_went_or_was_replaced_is_no_failure(fixture: Fixture, error: Exception) -> None:
    fixture.api.put(stored("books", raw_spec("books")))
    fixture.api.faults.append(error)
    fixture.report(tick())
    assert len(fixture.api.patches) == 1
    assert "status_failed" not in fixture.recorder.events
