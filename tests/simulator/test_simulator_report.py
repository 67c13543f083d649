from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import typer

from spillover.simulator import sweep

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("simulator_report", ROOT / "benchmarks" / "simulator_report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_what_is_between_the_markers_is_replaced(report, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: step -->\nold \\1\n<!-- end: step -->\nafter\n")
    report.replace_table(page, "step", "| new \\2 |")
    assert page.read_text() == "before\n<!-- table: step -->\n| new \\2 |\n<!-- end: step -->\nafter\n"
    with pytest.raises(typer.BadParameter, match="markers"):
        report.replace_table(page, "other", "x")


def test_the_document_has_a_place_for_every_table(report):
    text = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    for name in report.TABLES:
        assert f"<!-- table: {name} -->" in text
        assert f"<!-- end: {name} -->" in text


def test_every_committed_sweep_is_understood_and_reported(report):
    committed = {path.stem.removeprefix("sweep-") for path in (ROOT / "scenarios").glob("sweep-*.yml")}
    assert committed == set(report.SWEEPS)
    for name in committed:
        assert sweep.load(ROOT / "scenarios" / f"sweep-{name}.yml")
