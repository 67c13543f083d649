from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from groups_fakes import SITES, group, raw_spec
from hypothesis import given
from hypothesis import strategies as st

from spillover.groups.plan import Plan, Running, plan
from spillover.groups.translation import Means
from spillover.groups.verdict import InForce, Verdict, judge

if TYPE_CHECKING:
    from spillover.groups.resource import Group

MEANS = Means({name: Path(__file__) for name in SITES})


def judged(*groups: Group, before: dict[str, InForce] | None = None) -> dict[str, Verdict]:
    return judge(groups, MEANS, before or {})


def running(verdicts: dict[str, Verdict]) -> dict[str, Running]:
    return {
        uid: Running(verdict.in_force.config, verdict.in_force.claims)
        for uid, verdict in verdicts.items()
        if verdict.in_force is not None
    }


SHOP, BOOKS = group("shop"), group("books", raw_spec("books"))


def test_what_is_wanted_and_does_not_run_is_started() -> None:
    assert plan(judged(SHOP, BOOKS), {}) == Plan(start=("uid-books", "uid-shop"))


def test_what_runs_as_it_should_is_left_alone() -> None:
    assert plan(judged(SHOP, BOOKS), running(judged(SHOP, BOOKS))) == Plan()


def test_a_changed_spec_stops_its_own_controller_and_no_other() -> None:
    changed = judged(group("shop", raw_spec(periodSeconds=2), generation=2), BOOKS)
    assert plan(changed, running(judged(SHOP, BOOKS))) == Plan(stop=("uid-shop",))


def test_a_controller_begins_only_after_its_predecessor_has_ended() -> None:
    changed = judged(group("shop", raw_spec(periodSeconds=2), generation=2))
    old = running(judged(SHOP))["uid-shop"]
    stopping = {"uid-shop": Running(old.config, old.claims, stopping=True)}
    assert plan(changed, stopping) == Plan()
    assert plan(changed, {}) == Plan(start=("uid-shop",))


def test_nothing_begins_on_an_application_that_is_still_being_written() -> None:
    left = running(judged(SHOP))["uid-shop"]
    stopping = {"uid-shop": Running(left.config, left.claims, stopping=True)}
    assert plan(judged(group("heir")), stopping) == Plan()


def test_a_deleted_and_a_paused_group_are_stopped() -> None:
    paused = judged(group("books", raw_spec("books", paused=True)))
    assert plan(paused, running(judged(SHOP, BOOKS))) == Plan(stop=("uid-books", "uid-shop"))


def test_a_label_or_a_status_restarts_nothing() -> None:
    relabelled = judged(group("shop", status={"observedGeneration": 1}))
    assert plan(relabelled, running(judged(SHOP))) == Plan()


NAMES = st.sampled_from(["a", "b", "c", "d"])
CHANGES = st.one_of(
    st.tuples(st.just("put"), NAMES, st.sampled_from(["shop", "books", "tea"]), st.booleans(), st.sampled_from([1, 2])),
    st.tuples(st.just("spoil"), NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("end"), st.integers(0, 5)),
)


class Process:
    """What the service does with a plan, without threads: a loop that was told to stop ends when a test says so."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self.in_force: dict[str, InForce] = {}
        self.loops: dict[str, Running] = {}
        self.generation = 0

    def change(self, what: str, *values: Any) -> None:
        self.generation += 1
        match what:
            case "put":
                name, application, paused, period = values
                spec = raw_spec(application, paused=paused, periodSeconds=period)
                self.groups[f"uid-{name}"] = group(name, spec, generation=self.generation)
            case "spoil":
                uid = f"uid-{values[0]}"
                if uid in self.groups:
                    self.groups[uid] = group(values[0], raw_spec(policy="best"), generation=self.generation)
            case "delete":
                self.groups.pop(f"uid-{values[0]}", None)
            case "end":
                ending = [uid for uid, loop in self.loops.items() if loop.stopping]
                if ending:
                    del self.loops[ending[values[0] % len(ending)]]

    def turn(self) -> dict[str, Verdict]:
        verdicts = judge(self.groups.values(), MEANS, self.in_force)
        self.in_force = {uid: it.in_force for uid, it in verdicts.items() if it.in_force is not None}
        todo = plan(verdicts, self.loops)
        for uid in todo.stop:
            self.loops[uid] = Running(self.loops[uid].config, self.loops[uid].claims, stopping=True)
        for uid in todo.start:
            assert uid not in self.loops
            self.loops[uid] = Running(self.in_force[uid].config, self.in_force[uid].claims)
        written = [claim for loop in self.loops.values() for claim in loop.claims]
        assert len(written) == len(set(written)), "two controllers write one object"
        return verdicts


@given(st.lists(CHANGES, max_size=30))
def test_any_sequence_of_changes_ends_with_exactly_the_controllers_that_are_wanted(changes: list[Any]) -> None:
    process = Process()
    for change in changes:
        process.change(*change)
        process.turn()
    for _ in range(2):
        for uid in [uid for uid, loop in process.loops.items() if loop.stopping]:
            del process.loops[uid]
        verdicts = process.turn()
    wanted = {uid: it.in_force.config for uid, it in verdicts.items() if it.in_force is not None and it.runs}
    assert {uid: loop.config for uid, loop in process.loops.items()} == wanted
    assert not any(loop.stopping for loop in process.loops.values())
