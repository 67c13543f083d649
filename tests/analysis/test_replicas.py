from datetime import UTC, datetime

import pytest
from run_builder import STARTED_AT_S, edit_json

from analysis import wording
from analysis.load import load_run
from analysis.metrics import measure
from analysis.replicas import later_at, replicas, table
from analysis.report import report
from analysis.timeline import timeline
from spillover.model import SpilloverError

CELL = "02-paper-1s-seed7"


def moment(after_s):
    """A time of UTC, so long after the load's start (which is a whole second)."""
    return datetime.fromtimestamp(STARTED_AT_S + after_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def scaled(run_directory):
    notes = {
        "replicas_ready_at": {"edge1": [moment(17), moment(-30)], "edge2": [moment(-30)]},
        "application_cpu_s": {"edge1": 14.27, "edge2": 2},
    }
    edit_json(run_directory / "cells" / CELL / "cell.json", **notes)
    return run_directory


def test_replicas_are_told_in_seconds_since_the_step(scaled):
    run = load_run(scaled)
    cell = next(cell for cell in run.cells if cell.name == CELL)
    edge1, edge2 = replicas(cell)
    assert edge1.ready_s == (-30 - cell.lead_in_s, 17 - cell.lead_in_s)
    assert (edge2.cpu_s, later_at(cell, "edge2")) == (2, ())
    assert table(run) == [
        {"cell": CELL, "site": "edge1", "first": "1", "later": "12 s", "cpu": "14.3 s"},
        {"cell": CELL, "site": "edge2", "first": "1", "later": wording.NOTHING, "cpu": "2.0 s"},
    ]


def test_the_report_and_the_figure_show_them_where_there_are_any(scaled, pristine_run):
    with_them, without = (load_run(path) for path in (scaled, pristine_run))
    assert "Replicas and processor time" in report(measure(with_them)).decode()
    assert "Replicas and processor time" not in report(measure(without)).decode()

    def marks(run):
        return [text.get_text() for panel in timeline(run).axes for text in panel.texts].count("one more replica")

    assert (marks(with_them), marks(without)) == (1, 0)


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"replicas_ready_at": [], "application_cpu_s": {}}, "replicas_ready_at must be an object"),
        ({"replicas_ready_at": {}, "application_cpu_s": 3}, "application_cpu_s must be an object, got 3"),
        (
            {"replicas_ready_at": {"edge1": ["noon"]}, "application_cpu_s": {"edge1": 1}},
            "replicas_ready_at must hold times of UTC, got 'noon'",
        ),
        ({"replicas_ready_at": {"edge1": []}, "application_cpu_s": {}}, "application_cpu_s: edge1 must be a number"),
    ],
)
def test_a_note_that_makes_no_sense_is_refused(run_directory, notes, message):
    edit_json(run_directory / "cells" / CELL / "cell.json", **notes)
    with pytest.raises(SpilloverError, match=f"^cell.json of {CELL}: {message}"):
        table(load_run(run_directory))
