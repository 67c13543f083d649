from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from spillover.simulator import figures


def rows(**columns):
    names = list(columns)
    table = pd.DataFrame(list(itertools.product(*columns.values())), columns=names)
    count = np.arange(len(table), dtype=float)
    return table.assign(
        mean_ms=100 + count, p99_ms=400 + count, spilled_fraction=count / len(table),
        home_share_deviation=count / 100, optimum_mean_ms=120.0,
    )  # fmt: skip


def drawn(path):
    text = path.read_text(encoding="utf-8")
    assert text.lstrip().startswith("<?xml")
    assert "<svg" in text
    return text


@pytest.mark.parametrize(
    ("draw", "columns"),
    [
        (
            figures.latency_against_load,
            {"scenario": ["s"], "variant": ["sed", "paper"], "arrivals.edge1.0.rps": [2, 8]},
        ),
        (figures.stability_map, {"variant": ["a", "b"], "control.window_s": [1, 60], "control.period_s": [1, 60]}),
        (figures.distance, {"scenario": ["s", "t"], "variant": ["sed", "paper", "ours"], "seed": [0, 1]}),
    ],
)
def test_a_figure_is_drawn_the_same_each_time(draw, columns, tmp_path):
    draw(rows(**columns), tmp_path / "one.svg")
    draw(rows(**columns), tmp_path / "two.svg")
    assert drawn(tmp_path / "one.svg") == drawn(tmp_path / "two.svg")


def test_a_step_response_is_drawn(tmp_path):
    trace = pd.DataFrame({"time_s": [0.0, 5.0], "latency_ms": [100.0, 900.0], "home_share": [1.0, 0.4]})
    figures.step_response({"paper": trace, "ours": trace}, tmp_path / "step.svg")
    drawn(tmp_path / "step.svg")


def test_each_trigger_has_its_front(tmp_path):
    buckets = rows(scenario=["s"], variant=["bucket"], **{"control.burst": [1, 2, 5]})
    limits = rows(scenario=["s"], variant=["limit"], **{"control.inflight_limit.edge1": [1, 2]})
    figures.pareto([buckets, limits], tmp_path / "pareto.svg")
    drawn(tmp_path / "pareto.svg")


def test_a_front_holds_what_nothing_beats_in_both():
    points = np.array([[0.1, 9.0], [0.2, 5.0], [0.3, 6.0], [0.2, 7.0], [0.4, 5.0], [0.5, 1.0]])
    assert figures.pareto_front(points).tolist() == [[0.1, 9.0], [0.2, 5.0], [0.5, 1.0]]
