"""summary.json: the run in figures, for other programs. Its shape changes only by addition (docs/results-format.md)."""

import json
from dataclasses import asdict
from typing import Any

from analysis.load import Cell
from analysis.metrics import CONFIDENCE, Comparison, Measured, Merit
from analysis.reliability import Doubt, doubts, lateness_p99_ms

PROVENANCE_FIELDS = (
    "git",
    "versions",
    "machine",
    "seeds",
    "settings",
    "started_at",
    "ended_at",
    "measured_capacity_rps",
    "command",
)


def summary(measured: Measured) -> dict[str, Any]:
    """Return the summary of a run, ready for `to_json`."""
    run = measured.run
    merits = {variant: iter(repeats) for variant, repeats in measured.merits.items()}
    found = doubts(run)
    return {
        "experiment": run.experiment,
        "run_id": run.run_id,
        "cells": [_cell(cell, next(merits[cell.variant]), found) for cell in run.cells],
        "comparisons": [_comparison(comparison) for comparison in measured.comparisons],
        "links": [dict(link) for link in run.links],
        "provenance": {name: run.document[name] for name in PROVENANCE_FIELDS if name in run.document},
    }


def to_json(document: dict[str, Any]) -> bytes:
    """Return `document` as JSON text; the same document gives the same bytes."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _cell(cell: Cell, figures: Merit, found: list[Doubt]) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "variant": cell.variant,
        "policy": cell.policy,
        "mode": cell.mode,
        "repeat": cell.repeat,
        "seed": cell.seed,
        **asdict(figures),
        "lateness_p99_ms": lateness_p99_ms(cell),
        "doubts": [doubt.sentence for doubt in found if doubt.cell == cell.name],
        "settings": dict(cell.settings),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return asdict(comparison) | {"confidence": CONFIDENCE}
