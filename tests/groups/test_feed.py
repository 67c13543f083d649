from __future__ import annotations

import threading
from typing import Any

import pytest
from groups_fakes import FakeApi, Recorder, raw_spec, stored
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from spillover.clusters import NotFound, Unreachable
from spillover.groups.feed import MISSING, Feed

SECRET = "canary-51c0"  # noqa: S105  a value to look for


class Fixture:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.recorder = Recorder()
        self.changes = 0
        self.feed = Feed(self.api, "spillover-system", self.recorder.edges, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def steps(self, count: int) -> float:
        wait_s = 0.0
        for _ in range(count):
            wait_s = self.feed.step()
            self.recorder.clock.now_s += wait_s
        return wait_s

    @property
    def seen(self) -> dict[str, int]:
        return {group.name: group.generation for group in self.feed.groups.values()}


@pytest.fixture
def fixture() -> Fixture:
    it = Fixture()
    it.api.put(stored("shop"))
    return it


def test_before_the_first_list_nothing_is_known_and_it_says_so(fixture: Fixture) -> None:
    assert (fixture.feed.synced, fixture.feed.problem) == (False, "the groups were not read yet")
    assert fixture.steps(1) == 0.0
    assert (fixture.feed.synced, fixture.feed.problem, fixture.seen) == (True, "", {"shop": 1})
    assert fixture.recorder.events == []


def test_changes_arrive_by_the_watch_without_another_list(fixture: Fixture) -> None:
    fixture.steps(2)
    fixture.api.put(stored("shop", generation=2))
    fixture.api.put(stored("books"))
    fixture.steps(1)
    assert fixture.seen == {"shop": 2, "books": 1}
    fixture.api.remove("uid-shop")
    fixture.steps(1)
    assert fixture.seen == {"books": 1}
    assert fixture.api.lists == 1


def test_each_change_is_announced(fixture: Fixture) -> None:
    fixture.steps(2)
    before = fixture.changes
    fixture.api.put(stored("books"))
    fixture.steps(2)
    assert fixture.changes == before + 1


def test_a_version_that_is_forgotten_costs_a_list(fixture: Fixture) -> None:
    fixture.steps(1)
    fixture.api.put(stored("books"))
    fixture.api.forget()
    assert fixture.steps(1) > 0.0
    fixture.steps(1)
    assert fixture.seen == {"shop": 1, "books": 1}
    assert fixture.api.lists == 2


def test_a_broken_watch_goes_on_where_it_was(fixture: Fixture) -> None:
    fixture.steps(1)
    for name in ("books", "tea", "wine"):
        fixture.api.put(stored(name))
    fixture.api.break_after = 1
    fixture.steps(1)
    assert fixture.seen == {"shop": 1, "books": 1}
    fixture.steps(1)
    assert fixture.seen == {"shop": 1, "books": 1, "tea": 1, "wine": 1}
    assert fixture.api.lists == 1


def test_a_missing_definition_is_one_clear_line_however_long_it_is_missing(fixture: Fixture) -> None:
    fixture.api.faults.extend(NotFound("does not serve this kind") for _ in range(10))
    fixture.steps(10)
    assert fixture.feed.problem == MISSING
    assert fixture.recorder.lines == [
        {"event": "groups_failed", "time": fixture.recorder.lines[0]["time"], "error": MISSING}
    ]
    fixture.steps(1)
    assert fixture.seen == {"shop": 1}
    assert fixture.recorder.events == ["groups_failed", "groups_back"]


def test_a_definition_that_vanishes_stops_nothing(fixture: Fixture) -> None:
    fixture.steps(1)
    fixture.api.faults.append(NotFound("does not serve this kind"))
    fixture.steps(1)
    assert (fixture.feed.problem, fixture.seen) == (MISSING, {"shop": 1})
    fixture.steps(1)
    assert fixture.api.lists == 2


def test_a_failing_api_server_is_asked_ever_less_often_and_what_is_known_stays(fixture: Fixture) -> None:
    fixture.steps(1)
    began_s = fixture.recorder.clock.now_s
    fixture.api.faults.extend(Unreachable("it failed with 500") for _ in range(12))
    waits = [fixture.steps(1) for _ in range(12)]
    assert all(wait_s > 0 for wait_s in waits)
    assert max(waits) <= 15.0
    assert fixture.recorder.clock.now_s - began_s > 45.0
    assert fixture.seen == {"shop": 1}


def test_watches_that_end_at_once_are_begun_once_a_second(fixture: Fixture) -> None:
    assert [fixture.steps(1) for _ in range(4)] == [0.0, 1.0, 1.0, 1.0]


def test_a_wait_that_the_server_asks_for_is_kept(fixture: Fixture) -> None:
    fixture.api.faults.append(Unreachable("too many requests", retry_after_s=40.0))
    assert fixture.steps(1) == 40.0


def test_the_words_of_a_strange_error_are_not_told(fixture: Fixture) -> None:
    fixture.api.faults.append(RuntimeError(SECRET))
    fixture.steps(1)
    assert fixture.feed.problem == "an unexpected RuntimeError"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "MODIFIED"},
        {"type": "ADDED", "object": {}},
        {"type": "BOOKMARK", "object": {"metadata": {}}},
    ],
)
def test_garbage_in_a_watch_ends_it_and_not_the_feed(fixture: Fixture, event: dict[str, Any]) -> None:
    fixture.steps(1)
    fixture.api.garbage.append(event)
    assert fixture.steps(1) > 0.0
    fixture.api.garbage.clear()
    fixture.api.put(stored("books"))
    fixture.steps(1)
    assert fixture.seen == {"shop": 1, "books": 1}


def test_a_feed_that_is_told_to_stop_ends(fixture: Fixture) -> None:
    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            return fixture.api.watches == 3

    fixture.feed.run(Stop())
    assert fixture.api.watches == 3


class FeedMachine(RuleBasedStateMachine):
    """Whatever happens between two steps, a feed that is left in peace sees exactly what is stored."""

    @initialize()
    def begin(self) -> None:
        self.it = Fixture()
        self.generation = 0

    @rule(name=st.sampled_from("abc"), paused=st.booleans())
    def put(self, name: str, paused: bool) -> None:
        self.generation += 1
        self.it.api.put(stored(name, raw_spec(paused=paused), generation=self.generation))

    @rule(name=st.sampled_from("abc"))
    def remove(self, name: str) -> None:
        if f"uid-{name}" in self.it.api.objects:
            self.it.api.remove(f"uid-{name}")

    @rule()
    def compact(self) -> None:
        self.it.api.forget()

    @rule(after=st.integers(0, 3))
    def disconnect(self, after: int) -> None:
        self.it.api.break_after = after

    @rule(fault=st.sampled_from([Unreachable("hung"), NotFound("no such kind"), OSError("reset")]))
    def fail(self, fault: Exception) -> None:
        self.it.api.faults.append(fault)

    @rule()
    def step(self) -> None:
        assert 0.0 <= self.it.steps(1) <= 15.0

    @rule()
    def settle(self) -> None:
        self.it.api.faults.clear()
        self.it.api.break_after = None
        self.it.steps(3)
        stored_now = {obj["metadata"]["name"]: obj["metadata"]["generation"] for obj in self.it.api.objects.values()}
        assert self.it.seen == stored_now
        assert self.it.feed.problem == ""

    @invariant()
    def no_group_is_invented(self) -> None:
        assert self.it.feed.groups.keys() <= {f"uid-{name}" for name in "abc"}


FeedMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestFeedMachine = FeedMachine.TestCase
