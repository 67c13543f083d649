import json

import pytest
from run_builder import edit_json, edit_rows

from analysis.load import load_run
from analysis.reliability import doubts, link_doubts

CELL = "02-paper-1s-seed7"


def rewrite(share, **changes):
    def change(rows):
        for row in rows[:: round(1 / share)]:
            row.update(changes)
        return rows

    return change


def slower(rows):
    for row in rows:
        row["service_ms"] = str(2 * float(row["service_ms"]))
    return rows


def sentences(run_directory):
    return {doubt.sentence for doubt in doubts(load_run(run_directory)) if doubt.cell == CELL}


def test_a_good_run_is_not_in_doubt(pristine_run):
    run = load_run(pristine_run)
    assert doubts(run) == []
    assert link_doubts(run) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [(rewrite(0.05, lateness_ms="51"), "the generator sent late: p99 of the lateness is 51.0 ms"),
     (lambda rows: rows[:-3], "3 rows are missing: the generator reports 510 requests, samples.csv holds 507"),
     (rewrite(0.1, status="503", error="503"), "failed other than by the time-out"),
     (rewrite(0.5, serving_site=""), "do not say which site served them"),
     (slower, "the machine was a bottleneck: a request's own work at edge1")],
)  # fmt: skip
def test_doubtful_samples_are_told(run_directory, change, words):
    edit_rows(run_directory / "cells" / CELL / "samples.csv", change)
    assert any(words in sentence for sentence in sentences(run_directory))


def test_planned_requests_that_were_never_sent_are_told(run_directory):
    edit_json(run_directory / "cells" / CELL / "load-summary.json", planned=520)
    assert sentences(run_directory) == {"10 of 520 planned requests have no row"}


def test_the_generators_own_word_on_its_lateness_counts(run_directory):
    edit_json(run_directory / "cells" / CELL / "load-summary.json", lateness_p99_ms=80)
    assert any("p99 of the lateness is 80.0 ms" in sentence for sentence in sentences(run_directory))


def test_a_load_that_stopped_early_is_told(run_directory):
    edit_json(run_directory / "cells" / CELL / "load-summary.json", stopped_by="max_requests")
    assert sentences(run_directory) == {"the load stopped early (stopped by: max_requests)"}


def test_a_busy_machine_is_told(run_directory):
    edit_json(run_directory / "cells" / CELL / "cell.json", cpu_busy_fraction=0.99)
    assert sentences(run_directory) == {"the machine was a bottleneck: its processors were 99 % busy"}


def test_a_controller_that_did_not_know_the_demand_is_told(run_directory):
    log = run_directory / "cells" / CELL / "controller.jsonl"
    ticks = [json.loads(line) | {"demand_rpm": {"edge1": None}} for line in log.read_text().splitlines()]
    log.write_text("a warning\n" + "".join(json.dumps(tick) + "\n" for tick in ticks))
    assert sentences(run_directory) == {
        "1 lines of controller.jsonl are not the controller's",
        "the controller did not know the demand in 100 % of its ticks",
    }


def test_a_link_far_from_its_setting_is_told(run_directory):
    link = {"from": "edge1", "to": "cloud", "rtt_ms": 40, "measured_rtt_ms": 55}
    (run_directory / "links.json").write_text(json.dumps([link]))
    assert link_doubts(load_run(run_directory)) == ["edge1 to cloud: measured 55.0 ms, configured 40.0 ms"]
