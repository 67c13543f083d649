import json

import pytest

from analysis.ticks import read_ticks
from spillover.model import SpilloverError

TICK = {"event": "tick", "time": 105.0, "demand_rpm": {"edge1": 1440.0, "edge2": None},
        "weights": {"edge1": {"edge1": 80, "edge2": 120}}, "written": [], "reasons": {}}  # fmt: skip


def read(tmp_path, *lines):
    path = tmp_path / "controller.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return read_ticks(path, started_at_s=100.0)


def test_times_count_from_the_start_of_the_load(tmp_path):
    ticks = read(tmp_path, TICK)
    assert list(ticks.demand["time_s"]) == [5.0, 5.0]
    assert list(ticks.weights["time_s"]) == [5.0, 5.0]


def test_weights_become_shares_of_their_total(tmp_path):
    assert list(read(tmp_path, TICK).weights["weight_percent"]) == [40.0, 60.0]


def test_an_unknown_demand_stays_unknown(tmp_path):
    demand = read(tmp_path, TICK).demand.set_index("origin")["demand_rpm"]
    assert demand["edge1"] == 1440
    assert demand.isna()["edge2"]


def test_ticks_of_a_controller_that_did_not_lead_are_left_out(tmp_path):
    waiting = TICK | {"leading": False, "weights": {"edge1": {"edge1": 1, "edge2": 1}}}
    assert read(tmp_path, TICK | {"leading": True}, waiting).weights.equals(read(tmp_path, TICK).weights)


def test_the_logs_of_several_controllers_are_put_in_order(tmp_path):
    first, second, third = (TICK | {"time": 100.0 + second} for second in (1, 2, 3))
    assert list(read(tmp_path, first, third, second).demand["time_s"]) == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


def test_other_events_are_skipped_and_foreign_lines_counted(tmp_path):
    ticks = read(tmp_path, {"event": "weights_written", "time": 1}, "a warning of the runtime", "", TICK)
    assert ticks.foreign_lines == 1
    assert len(ticks.demand) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [({"time": None}, "line 1: time must be a number"),
     ({"demand_rpm": 3}, "line 1: demand_rpm must be an object"),
     ({"demand_rpm": {"edge1": "many"}}, "demand_rpm: edge1 must be a number"),
     ({"weights": {"edge1": {"edge1": -1, "edge2": 101}}}, "integers from 0"),
     ({"weights": {"edge1": {"edge1": 99.5}}}, "integers from 0"),
     ({"weights": {"edge1": {}}}, "sum above 0")],
)  # fmt: skip
def test_a_tick_that_makes_no_sense_is_named_with_its_line(tmp_path, change, message):
    with pytest.raises(SpilloverError, match=message):
        read(tmp_path, TICK | change)


def test_a_torn_line_is_refused(tmp_path):
    with pytest.raises(SpilloverError, match="line 2 is not JSON"):
        read(tmp_path, TICK, json.dumps(TICK)[:-20])
