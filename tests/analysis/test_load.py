import json

import pytest
from run_builder import edit_json, edit_rows

from analysis.load import load_run
from spillover.model import SpilloverError


def cells_of(run_directory):
    return sorted((run_directory / "cells").iterdir())


def test_a_run_is_read_in_its_order(pristine_run):
    run = load_run(pristine_run)
    assert run.variants == ("local-20s", "paper-1s", "paper-1s-full")
    assert run.sites == ("edge1", "edge2", "cloud")  # the busiest origin, then by distance
    assert run.busiest_origin == "edge1"
    assert run.capacity_rpm("edge1") == 720
    assert run.capacity_rpm("nowhere") is None


def test_a_local_cell_needs_no_controller(pristine_run):
    assert load_run(pristine_run).repeats("local-20s")[0].ticks.weights.empty


def test_another_policy_needs_one(run_directory):
    (cells_of(run_directory)[1] / "controller.jsonl").unlink()
    with pytest.raises(SpilloverError, match=r"controller\.jsonl cannot be read: No such file"):
        load_run(run_directory)


@pytest.mark.parametrize("name", ["run.json", "links.json", "cells/01-local-20s-seed7/samples.csv",
                                  "cells/01-local-20s-seed7/load-summary.json"])  # fmt: skip
def test_a_missing_file_is_named(run_directory, name):
    (run_directory / name).unlink()
    with pytest.raises(SpilloverError, match=f"{name} cannot be read: No such file"):
        load_run(run_directory)


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff\xfe", b"3"])
def test_a_garbled_run_is_refused(run_directory, text):
    (run_directory / "run.json").write_bytes(text)
    with pytest.raises(SpilloverError, match=r"run\.json"):
        load_run(run_directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"variant": ""}, "variant must be text"), ({"repeat": 1.5}, "repeat must be an integer"),
     ({"seed": True}, "seed must be an integer"), ({"settings": None}, "settings must be an object"),
     ({"settings": {"lead_in_s": "5"}}, "lead_in_s must be a number"), ({"directory": "../x"}, "inside the run"),
     ({"baseline": "absent"}, "names no variant, got 'absent'"), ({"baseline": "local-20s"}, "its own variant"),
     ({"settings": {"lead_in_s": 9999}}, "no request in the step")],
)  # fmt: skip
def test_a_cell_that_makes_no_sense_is_refused(run_directory, change, message):
    document = json.loads((run_directory / "run.json").read_text())
    document["cells"][0] |= change
    edit_json(run_directory / "run.json", cells=document["cells"])
    with pytest.raises(SpilloverError, match=message):
        load_run(run_directory)


@pytest.mark.parametrize("cells", [[], None, [1]])
def test_a_run_without_cells_is_refused(run_directory, cells):
    edit_json(run_directory / "run.json", cells=cells)
    with pytest.raises(SpilloverError, match="cells must be a list of objects"):
        load_run(run_directory)


def test_a_link_without_a_measurement_is_refused(run_directory):
    (run_directory / "links.json").write_text('[{"from": "edge1", "to": "cloud", "rtt_ms": 40}]')
    with pytest.raises(SpilloverError, match=r"links\.json\[0\]: measured_rtt_ms must be a number"):
        load_run(run_directory)


def test_a_path_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(SpilloverError, match="is not a directory"):
        load_run(tmp_path / "absent")


def test_the_lead_in_is_kept_apart(run_directory):
    edit_rows(cells_of(run_directory)[0] / "samples.csv", lambda rows: rows)
    cell = load_run(run_directory).cells[0]
    assert len(cell.samples) - len(cell.step) == 30  # 6 a second for 5 s
    assert (cell.step["start_s"] >= cell.lead_in_s).all()
