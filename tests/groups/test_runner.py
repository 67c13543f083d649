from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from controller_fakes import ORIGINS, FakeSite
from groups_fakes import SITES, Recorder, group, raw_spec

from spillover.controller.loop import Controller
from spillover.groups.runner import GroupLoop
from spillover.groups.translation import Means
from spillover.groups.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEANS = Means({name: Path(__file__) for name in SITES})
SECRET = "canary-3e9a"  # noqa: S105  a value to look for


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def loop(recorder: Recorder) -> Iterator[GroupLoop]:
    spec = raw_spec(mode="weights", periodSeconds=0.1, windowSeconds=0.1)
    for site in spec["sites"]:
        site["demand"] = {"collectorUrl": "http://127.0.0.1:9"}
    in_force = judge([group(spec=spec)], MEANS, {})["uid-shop"].in_force
    assert in_force is not None
    made = GroupLoop(
        "apps/shop", in_force, {name: FakeSite(name) for name in ORIGINS}, recorder.edges, leads=lambda: True
    )
    yield made
    made.stop()
    made.join(10)


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def lanes() -> int:
    return sum(thread.name.startswith("lane-") for thread in threading.enumerate())


def test_each_line_of_its_log_says_whose_it_is_and_the_last_tick_is_kept(loop: GroupLoop, recorder: Recorder) -> None:
    wait_for(lambda: loop.tick is not None)
    assert loop.tick is not None
    assert set(loop.tick.missing) == set(SITES)
    assert {line["group"] for line in recorder.lines} == {"apps/shop"}


def test_a_group_that_ended_leaves_no_thread_behind(loop: GroupLoop) -> None:
    wait_for(lambda: loop.tick is not None)
    before = lanes()
    loop.stop()
    loop.join(10)
    assert (loop.stopping, loop.ended) == (True, True)
    wait_for(lambda: lanes() == before - len(SITES) - len(ORIGINS))


def test_a_loop_that_fails_ends_alone_and_its_words_are_not_told(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder, request: pytest.FixtureRequest
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Controller, "run", fail)
    loop: GroupLoop = request.getfixturevalue("loop")
    loop.join(10)
    assert (loop.ended, loop.stopping) == (True, False)
    assert recorder.events == ["group_failed"]
    assert SECRET not in str(recorder.lines)
