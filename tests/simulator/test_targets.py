from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml
from test_simulator_report import ROOT

from spillover.simulator import targets


def rows(scenario="1 server, 8 rps", p99=None, **means):
    """Three seeds of each variant, whose figures lie the same way apart."""
    named = {"sed": 100.0, "cooperative, overflow": 104.0, "paper": 150.0, "l3": 200.0} | means
    return pd.DataFrame(
        [
            {
                "scenario": scenario,
                "variant": variant,
                "seed": seed,
                "mean_ms": mean + seed,
                "p99_ms": 4 * mean + (p99 or {}).get(variant, 0.0),
                "optimum_mean_ms": 130.0,
            }
            for variant, mean in named.items()
            for seed in range(3)
        ]
    )


def verdicts(table):
    lines = targets.bounds(table).splitlines()[2:]
    return {cells[2]: cells[3:6] for cells in ([part.strip() for part in line.split("|")] for line in lines)}


def test_each_promise_stands_beside_its_bound_and_its_measurement():
    said = verdicts(rows())
    assert list(said) == ["mean ÷ sed", "mean ÷ static optimum", "mean of every rival", "p99 of every rival"]
    assert said["mean ÷ sed"] == ["≤ 1.05", "1.040 ± 0.001", "met"]
    assert said["mean ÷ static optimum"] == ["≤ 0.85", "0.808 ± 0.019", "met"]
    assert said["mean of every rival"] == ["beaten or tied", "2 beaten, 0 tied, 0 lost to", "met"]


@pytest.mark.parametrize(
    ("table", "promise", "verdict"),
    [
        (rows(**{"cooperative, overflow": 106.0}), "mean ÷ sed", "**missed**"),
        (rows(**{"cooperative, overflow": 115.0}), "mean ÷ static optimum", "**missed**"),
        (rows(l3=90.0), "mean of every rival", "**missed**: l3"),
        (rows(p99={"paper": -300.0}), "p99 of every rival", "**missed**: paper"),
        (rows(**{"cooperative, weights": 90.0}), "mean of every rival", "met"),
    ],
)
def test_what_is_missed_is_said_and_named(table, promise, verdict):
    assert verdicts(table)[promise][2] == verdict


def test_under_bursts_only_the_rivals_count():
    table = rows("1 server, bursts").assign(optimum_mean_ms=np.nan)
    assert list(verdicts(table)) == ["mean of every rival", "p99 of every rival"]


def test_every_standard_scenario_has_its_targets():
    sweep = yaml.safe_load((ROOT / "scenarios" / "sweep-standard.yml").read_text(encoding="utf-8"))
    assert set(sweep["scenarios"]) == set(targets.TARGETS)
