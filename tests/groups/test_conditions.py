from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from groups_fakes import SITES, group, raw_spec, tick

from spillover.groups.conditions import Condition, conditions, dated, transitions
from spillover.groups.translation import Means
from spillover.groups.verdict import Verdict, judge

if TYPE_CHECKING:
    from spillover.groups.tick import Tick

MEANS = Means({name: Path(__file__) for name in SITES})
NOW, LATER = "2026-11-24T02:00:00Z", "2026-11-24T02:00:09Z"
INVALID = {"spec": raw_spec(policy="best")}
KEPT = {"generation": 2, "status": {"accepted": {"generation": 1, "spec": raw_spec()}}}


def verdict(**changes: Any) -> Verdict:
    it = group(**changes)
    return judge([it], MEANS, {})[it.uid]


def said(found: list[Condition]) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in found}


def test_a_group_with_nothing_to_complain_of() -> None:
    assert said(conditions(verdict(), tick())) == {
        "Accepted": ("True", "Valid"),
        "Ready": ("True", "Controlling"),
        "MetricsAvailable": ("True", "Read"),
        "Saturated": ("False", "DemandBelowCapacity"),
        "OverflowSupported": ("True", "ObjectsFound"),
        "Propagated": ("Unknown", "NotKnown"),
    }


@pytest.mark.parametrize(
    ("changes", "seen", "condition", "words"),
    [
        ({}, None, ("Ready", "False", "Starting"), "the demand of every site has to be known first"),
        ({}, tick(complete=False, demand_rpm={"edge1": None}), ("Ready", "False", "Starting"), ": edge1"),
        ({}, tick(saturated=None), ("Ready", "False", "Undecided"), "log says why"),
        ({}, tick(saturated=None), ("Saturated", "Unknown", "Undecided"), ""),
        ({}, tick(saturated=True), ("Saturated", "True", "DemandAboveCapacity"), "cannot serve"),
        ({}, tick(demand_rpm={"edge1": None}), ("MetricsAvailable", "False", "Missing"), "not known: edge1"),
        ({}, tick(demand_rpm={"edge1": None}), ("Ready", "True", "Controlling"), ""),
        ({}, tick(problems={"edge1": "not written: hung"}), ("Ready", "False", "NotWritten"), "edge1: not written"),
        ({"spec": raw_spec(paused=True)}, None, ("Ready", "False", "Paused"), "nothing is written"),
        ({"spec": raw_spec(paused=True)}, None, ("MetricsAvailable", "Unknown", "Paused"), ""),
        ({"spec": raw_spec(paused=True)}, None, ("Accepted", "True", "Valid"), ""),
        ({}, tick(overflow_supported={}), ("OverflowSupported", "Unknown", "NotKnown"), ""),
        (
            {},
            tick(overflow_supported={"edge1": "objects are absent", "edge2": ""}),
            ("OverflowSupported", "False", "ObjectsAbsent"),
            "edge1: objects are absent",
        ),
        ({}, tick(propagated={"edge1": ""}), ("Propagated", "True", "SplitAsTold"), ""),
        (
            {},
            tick(propagated={"edge1": "", "edge2": "all stay", "cloud": "none stay"}),
            ("Propagated", "False", "SplitDiffers"),
            "cloud: none stay; edge2: all stay",
        ),
        ({"spec": raw_spec(paused=True)}, None, ("Propagated", "Unknown", "Paused"), ""),
        (INVALID, None, ("Accepted", "False", "Invalid"), "policy must be one of"),
        (INVALID, None, ("Ready", "False", "NotAccepted"), "nothing is in force"),
        (INVALID, None, ("Saturated", "Unknown", "NotControlled"), ""),
        (INVALID | KEPT, tick(), ("Ready", "False", "NotAccepted"), "generation 1 stays in force"),
        (INVALID | KEPT, tick(), ("MetricsAvailable", "True", "Read"), ""),
    ],
)
def test_what_is_wrong_is_a_condition_with_a_reason(
    changes: dict[str, Any], seen: Tick | None, condition: tuple[str, str, str], words: str
) -> None:
    found = {it.type: it for it in conditions(verdict(**changes), seen)}[condition[0]]
    assert (found.type, found.status, found.reason) == condition
    assert words in found.message


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = dated(conditions(verdict(), tick()), [], 1, NOW)
    second = dated(conditions(verdict(), tick(saturated=True)), first, 2, LATER)
    times = {condition["type"]: condition["lastTransitionTime"] for condition in second}
    assert times == dict.fromkeys(times, NOW) | {"Saturated": LATER}
    assert {condition["observedGeneration"] for condition in second} == {2}


def test_a_long_message_is_cut_to_what_the_schema_takes() -> None:
    found = dated([Condition("Ready", "False", "NotWritten", "x" * 5000)], [], 1, NOW)
    assert len(found[0]["message"]) == 1024


def events(before: Tick | None, now: Tick | None, **changes: Any) -> list[tuple[str, str, bool]]:
    stored = dated(conditions(verdict(), before), [], 1, NOW)
    found = transitions(conditions(verdict(**changes), now), stored)
    return [(it.condition.type, it.condition.reason, it.warning) for it in found]


def test_a_start_is_no_event() -> None:
    fresh = [(it.condition.type, it.condition.reason) for it in transitions(conditions(verdict(), None), [])]
    assert fresh == []
    assert events(None, tick()) == [("Ready", "Controlling", False)]
    assert events(tick(), None) == []


def test_what_stays_is_no_event() -> None:
    assert events(tick(), tick()) == []
    assert events(tick(saturated=True), tick(saturated=True)) == []


def test_what_goes_wrong_is_a_warning_and_what_is_well_again_is_none() -> None:
    assert events(tick(), tick(saturated=True)) == [("Saturated", "DemandAboveCapacity", True)]
    assert events(tick(saturated=True), tick()) == [("Saturated", "DemandBelowCapacity", False)]
    assert events(tick(), tick(), **INVALID) == [("Accepted", "Invalid", True), ("Ready", "NotAccepted", True)]


def test_what_is_stored_and_not_in_force_is_one_warning_and_one_event_when_it_is() -> None:
    lost, more = tick(propagated={"edge1": "all stay"}), tick(propagated={"edge1": "all stay", "edge2": "all stay"})
    assert events(tick(propagated={"edge1": ""}), lost) == [("Propagated", "SplitDiffers", True)]
    assert events(lost, more) == []
    assert events(lost, tick(propagated={"edge1": ""})) == [("Propagated", "SplitAsTold", False)]


def test_a_site_that_cannot_overflow_is_a_warning() -> None:
    assert events(tick(), tick(overflow_supported={"edge1": "absent"})) == [
        ("OverflowSupported", "ObjectsAbsent", True)
    ]


def test_another_reason_while_things_are_bad_is_an_event() -> None:
    assert events(tick(saturated=None), tick(problems={"edge1": "x"})) == [("Ready", "NotWritten", True)]


def test_a_pause_is_an_event_and_no_warning() -> None:
    assert events(tick(), None, spec=raw_spec(paused=True)) == [("Ready", "Paused", False)]
