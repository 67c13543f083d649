from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from spillover.model import SpilloverError
from spillover.simulator import sweep

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("simulator_report", ROOT / "benchmarks" / "simulator_report.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "benchmarks"))  # as when Python runs the file: its neighbour is imported
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "benchmarks"))


def test_only_what_is_between_the_markers_is_replaced(report, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: step -->\nold \\1\n<!-- end: step -->\nafter\n")
    report.replace_table(page, "step", "| new \\2 |")
    assert page.read_text() == "before\n<!-- table: step -->\n| new \\2 |\n<!-- end: step -->\nafter\n"
    with pytest.raises(SpilloverError, match="marks"):
        report.replace_table(page, "other", "x")


def test_the_document_has_a_place_for_every_table(report):
    text = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    for name in (*report.TABLES, "time", "speed"):
        assert f"<!-- table: {name} -->" in text
        assert f"<!-- end: {name} -->" in text


def test_every_committed_sweep_is_understood_and_reported(report):
    committed = {path.stem.removeprefix("sweep-") for path in (ROOT / "scenarios").glob("sweep-*.yml")}
    assert committed == set(report.SWEEPS)
    for name in committed:
        assert sweep.load(ROOT / "scenarios" / f"sweep-{name}.yml")


def test_the_document_shows_only_pictures_that_are_made(report):
    text = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert set(re.findall(r"pictures/simulator-([a-z]+)\.svg", text)) == set(report.PICTURES)


def test_the_time_of_all_sweeps_is_added_up(report):
    results = {"one": pd.DataFrame({"took_s": [30.0, 30.0]}), "two": pd.DataFrame({"took_s": [60.0]})}
    assert report.computing_time(results).splitlines()[2:] == [
        "| one | 2 | 1.0 |",
        "| two | 1 | 1.0 |",
        "| all | 3 | 2.0 |",
    ]


@pytest.mark.parametrize(("rate", "verdict"), [(1_000_000, ", met."), (999_999, "**missed**.")])
def test_the_speed_is_set_against_what_is_wanted(report, monkeypatch, rate, verdict):
    row = {"case": "plain", "requests": 5, "best_s": 0.1, "requests_per_s": rate}
    monkeypatch.setattr(report.simulator, "CASES", {"plain": None})
    monkeypatch.setattr(report.simulator, "measure", lambda name: row | {"case": name})
    lines = report.speed().splitlines()
    assert lines[0].endswith(verdict)
    assert lines[-1] == f"| plain | 5 | 0.1 | {rate:,} |"
