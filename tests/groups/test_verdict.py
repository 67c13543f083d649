from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from groups_fakes import SITES, group, raw_spec

from spillover.groups.translation import Means
from spillover.groups.verdict import InForce, Verdict, judge

if TYPE_CHECKING:
    from spillover.groups.resource import Group

MEANS = Means({name: Path(__file__) for name in SITES})
BAD = raw_spec(policy="best")


def judged(*groups: Group, before: dict[str, InForce] | None = None, means: Means = MEANS) -> dict[str, Verdict]:
    return judge(groups, means, before or {})


def in_force(it: Group) -> InForce:
    found = judged(it)[it.uid].in_force
    assert found is not None
    return found


def test_a_good_spec_is_accepted_and_runs() -> None:
    verdict = judged(group())["uid-shop"]
    assert (verdict.refused, verdict.runs) == ("", True)
    assert in_force(group()).generation == 1


def test_a_bad_spec_leaves_what_was_in_force() -> None:
    before = in_force(group())
    verdict = judged(group(spec=BAD, generation=2), before={"uid-shop": before})["uid-shop"]
    assert (verdict.refused, verdict.in_force, verdict.runs) == ("Invalid", before, True)
    assert verdict.message.startswith("spec: policy must be one of ")


def test_after_a_start_the_status_says_what_was_accepted() -> None:
    status = {"accepted": {"generation": 4, "spec": raw_spec()}}
    verdict = judged(group(spec=BAD, generation=5, status=status))["uid-shop"]
    assert verdict.refused == "Invalid"
    assert verdict.in_force is not None
    assert (verdict.in_force.generation, verdict.in_force.config) == (4, in_force(group()).config)


@pytest.mark.parametrize("accepted", [{}, {"generation": 1}, {"generation": 1, "spec": BAD}, None])
def test_a_copy_that_cannot_be_used_is_none(accepted: dict[str, Any] | None) -> None:
    verdict = judged(group(spec=BAD, status={"accepted": accepted}))["uid-shop"]
    assert (verdict.in_force, verdict.runs) == (None, False)


def test_a_kubeconfig_that_vanishes_stops_nothing_that_runs() -> None:
    before = in_force(group())
    verdict = judged(group(), before={"uid-shop": before}, means=Means())["uid-shop"]
    assert (verdict.refused, verdict.in_force) == ("Invalid", before)


def test_the_older_of_two_groups_keeps_the_application_and_the_newer_is_told_its_name() -> None:
    old, new = group("old"), group("new", creationTimestamp="2026-11-24T03:00:00Z")
    verdicts = judged(new, old)
    assert verdicts["uid-old"].runs
    assert (verdicts["uid-new"].refused, verdicts["uid-new"].in_force) == ("Conflict", None)
    assert verdicts["uid-new"].message.endswith("is written by the older group spillover-system/old")


def test_a_group_whose_change_meets_an_older_one_goes_on_as_it_was() -> None:
    old, new = group("old"), group("new", raw_spec("books"), creationTimestamp="2026-11-24T03:00:00Z")
    before = in_force(new)
    changed = group("new", raw_spec("shop"), creationTimestamp="2026-11-24T03:00:00Z", generation=2)
    verdict = judged(old, changed, before={"uid-new": before})["uid-new"]
    assert (verdict.refused, verdict.in_force) == ("Conflict", before)


def test_what_an_older_group_comes_to_write_is_no_longer_in_force_for_the_newer() -> None:
    new = group("new", BAD, creationTimestamp="2026-11-24T03:00:00Z", generation=2)
    verdicts = judged(group("old"), new, before={"uid-new": in_force(group("new"))})
    assert verdicts["uid-new"].in_force is None


def test_a_paused_group_keeps_its_application() -> None:
    old = group("old", raw_spec(paused=True))
    verdicts = judged(old, group("new", creationTimestamp="2026-11-24T03:00:00Z"))
    assert (verdicts["uid-old"].refused, verdicts["uid-old"].runs) == ("", False)
    assert verdicts["uid-new"].refused == "Conflict"


def test_a_pause_counts_also_where_the_rest_is_not_accepted() -> None:
    before = in_force(group())
    verdict = judged(group(spec=BAD | {"paused": True}), before={"uid-shop": before})["uid-shop"]
    assert (verdict.in_force, verdict.runs) == (before, False)
