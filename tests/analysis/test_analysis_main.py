import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main

ROOT = Path(__file__).parents[2]
WRITTEN = {"summary.json", "report.html", "samples.parquet", "weights.parquet", "demand.parquet"}


def test_a_run_becomes_a_summary_a_report_and_frames(run_directory, capsys):
    before = {path.name for path in run_directory.iterdir()}
    assert main([str(run_directory)]) == 0
    assert {path.name for path in run_directory.iterdir()} - before == WRITTEN
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"report: {run_directory / 'report.html'}"
    reduction = json.loads((run_directory / "summary.json").read_text())["comparisons"][0]["p50_reduction"]
    assert f"median {100 * reduction:.1f} % lower" in lines[0]


def test_bad_input_is_one_sentence_exit_code_2_and_no_file(run_directory, capsys):
    samples = run_directory / "cells" / "03-paper-1s-full-seed7" / "samples.csv"
    samples.write_text(samples.read_text()[:-30])
    before = {path.name for path in run_directory.iterdir()}
    assert main([str(run_directory)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("analysis: ")
    assert len(captured.err.splitlines()) == 1
    assert {path.name for path in run_directory.iterdir()} == before


@pytest.mark.parametrize(("name", "begins"), [("picture.svg", b"<?xml"), ("picture.png", b"\x89PNG")])
def test_the_main_figure_can_be_had_alone(run_directory, tmp_path, name, begins):
    before = {path.name for path in run_directory.iterdir()}
    assert main([str(run_directory), "--picture", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert {path.name for path in run_directory.iterdir()} == before


def test_a_picture_of_another_kind_is_refused(run_directory, capsys):
    assert main([str(run_directory), "--picture", "picture.gif"]) == 2
    assert "must end in .svg or .png" in capsys.readouterr().err


def test_it_runs_as_a_module(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "analysis", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"analysis: {tmp_path / 'run.json'} cannot be read: No such file or directory\n"
