from __future__ import annotations

import numpy as np
import pandas as pd

from spillover.simulator import tables


def standard_rows():
    means = {"sed": 100.0, "cooperative, overflow": 110.0, "paper, weights": 200.0}
    return pd.DataFrame(
        [
            {
                "scenario": "s", "variant": variant, "seed": seed, "mean_ms": mean + seed, "p99_ms": 4 * mean,
                "within_slo_fraction": 0.5, "spilled_fraction": 0.25, "writes_per_minute": 3.0,
                "optimum_mean_ms": 125.0,
            }
            for variant, mean in means.items()
            for seed in range(3)
        ]
    )  # fmt: skip


def test_the_standard_table_sets_each_policy_against_sed_the_optimum_and_ours():
    lines = tables.standard(standard_rows()).splitlines()
    assert lines[0] == "#### s; static optimum 125.0 ms"
    paper = next(line for line in lines if line.startswith("| paper"))
    assert paper.startswith("| paper, weights | 201.0 ± 2.5 | 800 | 50.0 % | 25.0 % | 3.0 | 1.990 ±")
    assert paper.endswith("| 1.608 | win |")
    assert next(line for line in lines if line.startswith("| sed")).endswith("| loss |")
    assert next(line for line in lines if line.startswith("| cooperative")).endswith("|  |")


def test_a_scenario_without_an_optimum_says_nothing_of_it():
    rows = standard_rows().assign(optimum_mean_ms=np.nan)
    assert tables.standard(rows).splitlines()[0] == "#### s"


def test_the_best_limit_for_each_neighbour_is_bold():
    rows = pd.DataFrame(
        {
            "variant": [
                "limit 0.2",
                "limit 0.2",
                "limit 0.8",
                "limit 0.8",
                "cooperative, weights",
                "cooperative, weights",
            ],
            "links.0.rtt_ms": [5, 50] * 3,
            "mean_ms": [10.0, 40.0, 20.0, 30.0, 9.0, 29.0],
        }
    )
    lines = tables.neighbours(rows).splitlines()
    assert lines[0] == "| mean ms | 5 ms away | 50 ms away |"
    assert "| limit 0.2 | **10.0** | 40.0 |" in lines
    assert "| limit 0.8 | 20.0 | **30.0** |" in lines


def test_a_step_is_told_in_seconds():
    rows = pd.DataFrame(
        {"variant": ["p"] * 2, "max_ms": [30e3, 40e3], "mean_ms": [2e3, 2e3], "last_minute_mean_ms": [1e3, 3e3]}
    )
    assert "| p | 35.0 | 2.00 | 2.00 |" in tables.step(rows)


def test_stability_is_told_from_the_calmest_to_the_most_restless():
    rows = pd.DataFrame(
        {
            "variant": ["p"] * 4,
            "control.window_s": [1, 1, 60, 60],
            "control.period_s": [1, 1, 1, 1],
            "home_share_deviation": [0.1, 0.3, 0.4, 0.6],
        }
    )
    assert "| p | 0.200 | 0.350 | 0.500 |" in tables.stability(rows)
