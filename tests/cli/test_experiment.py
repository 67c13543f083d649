import json
from pathlib import Path

import pytest

from loadtest.plan import LoadPlan
from spillover.cli import main

SHORT = str(Path(__file__).parents[2] / "experiments/heavy-load-short.yml")
CELL = "02-paper-1s-rpm100-seed7"


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["experiment", *arguments])
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


def test_the_table_shows_every_cell_and_the_whole_time(capsys):
    code, out, _ = run(capsys, SHORT)
    assert code == 0
    assert "03-paper-1s-rpm80-seed7" in out
    assert out.rstrip().endswith("3 cells and the calibration of 3 sites: about 4 min 25 s")


def test_json_has_the_cells_in_order_and_the_settings(capsys):
    code, out, _ = run(capsys, SHORT, "--json")
    document = json.loads(out)
    assert code == 0
    assert [cell["cell"][:3] for cell in document["cells"]] == ["01-", "02-", "03-"]
    assert document["settings"]["seeds"] == [7]
    assert document["settings"]["links"][0]["from"] == "edge1"
    assert document["estimated_s"] == document["calibration_s"] + sum(cell["estimated_s"] for cell in document["cells"])


def test_the_load_of_a_cell_is_written_and_its_limits_are_printed(capsys, tmp_path):
    path = tmp_path / "load.json"
    options = ["--capacity", "edge1=12.5", "--capacity", "edge2=12", "--url", "edge1=http://198.19.0.11:30080"]
    code, out, _ = run(capsys, SHORT, "--cell", CELL, *options, "--out", str(path))
    assert code == 0
    assert json.loads(out)["rpm_max"] == {"edge1": 750, "edge2": 720}
    assert LoadPlan.from_file(path).streams[0].steps[1].rps == 25


def test_the_load_of_a_calibration_is_written(capsys, tmp_path):
    path = tmp_path / "load.json"
    url = "edge2=http://198.19.0.12:30080"
    code, out, _ = run(capsys, SHORT, "--calibrate", "edge2", "--url", url, "--out", str(path))
    assert (code, out) == (0, "")
    assert LoadPlan.from_file(path).streams[0].arrivals == "closed"


def test_a_measured_capacity_is_printed(capsys, tmp_path):
    path = tmp_path / "samples.csv"
    rows = "".join(f"{number},,{number / 10},100\n" for number in range(120))
    path.write_text("request_id,error,start_s,latency_ms\n" + rows, encoding="utf-8")
    code, out, _ = run(capsys, SHORT, "--measured", str(path))
    assert (code, json.loads(out)) == (0, {"capacity_rps": 10.0})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.yml"], "none.yml cannot be read"),
        ([SHORT, "--cell", CELL, "--calibrate", "edge1"], "--cell, --calibrate and --measured exclude each other"),
        ([SHORT, "--cell", "99"], "cell must be one of 01-"),
        ([SHORT, "--calibrate", "edge1", "--url", "edge1=http://198.19.0.11:1"], "--out is missing"),
        ([SHORT, "--cell", CELL, "--capacity", "edge1"], "--capacity must be SITE=VALUE, got 'edge1'"),
        ([SHORT, "--cell", CELL, "--capacity", "edge1=x"], "--capacity of edge1 must be a number, got 'x'"),
        ([SHORT, "--cell", CELL, "--capacity", "edge1=0"], "--capacity of edge1 must be above 0 and finite, got '0'"),
        ([SHORT, "--cell", CELL, "--capacity", "edge1=nan"], "--capacity of edge1 must be above 0 and finite"),
        ([SHORT, "--cell", CELL, "--capacity", "edge1=1", "--capacity", "edge1=2"], "--capacity must name each site"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(capsys, arguments, sentence):
    code, out, error = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert sentence in error
    assert error.count("\n") == 1
