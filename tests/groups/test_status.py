from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groups_fakes import SITES, group, raw_spec, tick
from hypothesis import given
from hypothesis import strategies as st

from spillover.groups.conditions import conditions
from spillover.groups.status import can_wait, differing, document
from spillover.groups.translation import Means
from spillover.groups.verdict import Verdict, judge

if TYPE_CHECKING:
    from spillover.groups.tick import Tick

MEANS = Means({name: Path(__file__) for name in SITES})
NOW = "2026-11-24T02:00:00Z"


def verdict(**changes: Any) -> Verdict:
    it = group(**changes)
    return judge([it], MEANS, {})[it.uid]


def status(seen: Tick | None, before: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    it = verdict(**changes)
    return document(it, seen, conditions(it, seen), before or {}, NOW)


def changes_of(seen: Tick, before: dict[str, Any], **changes: Any) -> set[str]:
    return differing(before, status(seen, before, **changes))


def demand(rpm: float) -> Tick:
    return tick(demand_rpm={"edge1": rpm}, spilled_rpm={"edge1": 0.0})


def test_a_status_says_what_is_in_force_and_what_is_seen() -> None:
    found = status(tick(gap=0.0213))
    assert (found["demandRpm"], found["spilledRpm"], found["gapPercent"]) == (1500, 600, 2.13)
    assert found["observedGeneration"] == 1
    assert found["accepted"] == {"generation": 1, "spec": raw_spec()}
    assert {"name": "edge1", "demandRpm": 1200, "spilledRpm": 600} in found["sites"]


def test_what_nobody_knows_is_left_out() -> None:
    found = status(tick(demand_rpm={"edge1": None, "edge2": 60.0}, spilled_rpm={"edge1": None, "edge2": 0.0}))
    assert "gapPercent" not in found
    assert found["demandRpm"] == 60
    assert found["sites"] == [{"name": "edge1"}, {"name": "edge2", "demandRpm": 60, "spilledRpm": 0}]


def test_a_pause_takes_the_numbers_away() -> None:
    paused = status(None, status(tick()), spec=raw_spec(paused=True))
    assert not {"demandRpm", "spilledRpm", "sites"} & paused.keys()


def test_a_status_that_is_stored_writes_nothing() -> None:
    before = status(tick())
    assert changes_of(tick(), before) == set()


def test_noise_writes_nothing_and_a_slow_drift_does() -> None:
    before = status(demand(1000.0))
    for rpm in (1049.0, 951.0, 1000.0):
        assert changes_of(demand(rpm), before) == set()
    assert status(demand(1051.0), before)["demandRpm"] == 1050


def test_nothing_becomes_nothing_exactly() -> None:
    before = status(demand(3.0))
    assert status(demand(0.0), before)["demandRpm"] == 0


def test_only_numbers_can_wait() -> None:
    before = status(tick())
    assert can_wait(changes_of(demand(9000.0), before))
    assert not can_wait(changes_of(tick(saturated=True), before))
    assert not can_wait(changes_of(tick(), before, generation=2))


def test_a_spec_that_is_not_accepted_leaves_the_copy_of_the_last_that_was() -> None:
    before = status(tick())
    changed = status(tick(), before, spec=raw_spec(policy="best"), generation=2, status=before)
    assert changed["accepted"] == before["accepted"]
    assert changed["observedGeneration"] == 2


RATES = st.none() | st.floats(0, 1e9)


@given(st.lists(st.tuples(RATES, RATES), min_size=1, max_size=12), st.floats(-1, 5))
def test_whatever_is_seen_a_second_look_at_the_same_writes_nothing(
    seen: list[tuple[float | None, float | None]], gap: float
) -> None:
    before: dict[str, Any] = {}
    for own, spilled in seen:
        now = tick(demand_rpm={"edge1": own}, spilled_rpm={"edge1": spilled}, gap=gap)
        before = status(now, before)
        assert differing(before, status(now, copy.deepcopy(before))) == set()
        if own is not None:
            assert abs(before["demandRpm"] - own) <= 0.06 * own
