import json

from analysis.load import load_run
from analysis.metrics import measure
from analysis.summary import summary, to_json

CELL_FIELDS = {"variant", "policy", "mode", "repeat", "seed", "requests", "errors", "mean_ms", "p50_ms", "p99_ms",
               "throughput_rps", "spilled_fraction", "served_by", "settings"}  # fmt: skip
COMPARISON_FIELDS = {"variant", "baseline", "mean_reduction", "p50_reduction", "p99_reduction"}


def test_the_stable_fields_are_there(pristine_run):
    document = json.loads(to_json(summary(measure(load_run(pristine_run)))))
    assert {"experiment", "run_id", "cells", "comparisons", "provenance"} <= set(document)
    assert len(document["cells"]) == 3
    assert all(set(cell) >= CELL_FIELDS for cell in document["cells"])
    assert all(set(comparison) >= COMPARISON_FIELDS for comparison in document["comparisons"])
    assert document["provenance"]["git"] == {"revision": "0123456789abcdef0123456789abcdef01234567", "dirty": False}


def test_figures_belong_to_their_cell(pristine_run):
    document = summary(measure(load_run(pristine_run)))
    by_variant = {cell["variant"]: cell for cell in document["cells"]}
    assert by_variant["local-20s"]["spilled_fraction"] == 0
    assert by_variant["paper-1s"]["spilled_fraction"] > 0.3
    assert by_variant["paper-1s"]["settings"]["rpm_max_factor"] == 0.8
    assert by_variant["paper-1s"]["doubts"] == []


def test_served_by_adds_up(pristine_run):
    for cell in summary(measure(load_run(pristine_run)))["cells"]:
        assert sum(cell["served_by"].values()) == cell["answered"] == cell["requests"] - cell["errors"]
