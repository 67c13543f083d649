from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from spillover.controller.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_tasks_run_at_once_and_all_outcomes_return() -> None:
    both = threading.Barrier(2, timeout=5)
    outcomes = Lanes(["a", "b"]).run({"a": both.wait, "b": both.wait}, 5.0)
    assert sorted(outcome.name for outcome in outcomes) == ["a", "b"]
    assert all(outcome.error is None for outcome in outcomes)


def test_hung_task_costs_the_deadline_and_no_outcome_of_others(gate: threading.Event) -> None:
    lanes = Lanes(["hung", "fine"])
    began = time.monotonic()
    outcomes = lanes.run({"hung": gate.wait, "fine": lambda: 7}, 0.2)
    assert time.monotonic() - began < 1.0
    assert [(outcome.name, outcome.value) for outcome in outcomes] == [("fine", 7)]


def test_busy_lane_is_given_nothing_new_and_no_further_thread(gate: threading.Event) -> None:
    lanes = Lanes(["hung"])
    lanes.run({"hung": gate.wait}, 0.01)
    before = threading.active_count()
    calls: list[int] = []
    for number in range(20):
        lanes.run({"hung": lambda number=number: calls.append(number)}, 0.001)
    assert calls == []
    assert threading.active_count() == before


def test_late_outcome_is_heard_of_in_the_next_round(gate: threading.Event) -> None:
    lanes = Lanes(["late"])
    assert lanes.run({"late": gate.wait}, 0.01) == []
    gate.set()
    outcomes = lanes.run({"late": lambda: "new"}, 5.0)
    assert outcomes[0].value is True


def test_error_of_a_task_is_an_outcome() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    lanes = Lanes(["a"])
    assert isinstance(lanes.run({"a": fail}, 5.0)[0].error, ZeroDivisionError)
    assert lanes.run({"a": lambda: 1}, 5.0)[0].value == 1


def test_no_tasks_wait_for_nothing() -> None:
    assert Lanes(["a"]).run({}, 60.0) == []
