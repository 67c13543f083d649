"""What the main job in its short profile left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.lab

RUNS = Path(__file__).parents[2] / "results" / "heavy-load-short"


@pytest.fixture(scope="module")
def run() -> Path:
    runs = sorted(RUNS.glob("*/summary.json"))
    assert runs, f"no finished run in {RUNS}"
    return runs[-1].parent


@pytest.fixture(scope="module")
def cells(run: Path) -> dict[str, dict[str, Any]]:
    summary = json.loads((run / "summary.json").read_text())
    return {cell["variant"]: cell for cell in summary["cells"]}


def test_the_report_is_one_self_contained_file(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "<svg" in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_every_variant_has_run(cells: dict[str, dict[str, Any]]) -> None:
    assert set(cells) == {"local-30s", "paper-1s", "paper-1s-rpm100"}


def test_without_balancing_everything_is_served_at_home(cells: dict[str, dict[str, Any]]) -> None:
    assert set(cells["local-30s"]["served_by"]) == {"edge1"}


@pytest.mark.parametrize("variant", ["paper-1s", "paper-1s-rpm100"])
def test_the_papers_rule_spills_to_both_peers(cells: dict[str, dict[str, Any]], variant: str) -> None:
    served_by = cells[variant]["served_by"]
    assert served_by["edge2"] > 0
    assert served_by["cloud"] > 0
    # Two times the capacity arrives, so about half or more must go; a noisy machine gets a wide bound.
    assert 0.25 < cells[variant]["spilled_fraction"] < 0.85


@pytest.mark.parametrize("variant", ["local-30s", "paper-1s", "paper-1s-rpm100"])
def test_no_client_sees_an_error(cells: dict[str, dict[str, Any]], variant: str) -> None:
    assert cells[variant]["errors"] == 0


def test_the_papers_rule_lowers_the_median_by_more_than_half(cells: dict[str, dict[str, Any]]) -> None:
    # The measured reduction is far larger; the bound is wide because the step is short and the machine is shared.
    assert cells["paper-1s"]["p50_ms"] < 0.5 * cells["local-30s"]["p50_ms"]
