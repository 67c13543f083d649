"""What is promised on the standard scenarios, set against a sweep: each bound, what was measured, the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spillover.simulator.statistics import Estimate, estimate, ratio, verdict
from spillover.simulator.tables import DISPATCHER, OURS, interval

if TYPE_CHECKING:
    import pandas as pd

OWN = "cooperative"
"""Variants whose name begins so are settings of the same policy, and no rivals."""


@dataclass(frozen=True, slots=True)
class Target:
    """The largest ratios of our mean to that of ``sed`` and of the static optimum; None where nothing is promised."""

    over_sed: float | None
    over_optimum: float | None


TARGETS = {
    "1 server, 8 rps": Target(1.05, 0.85),
    "1 server, 20 rps": Target(1.08, 0.85),
    "1 server, 30 rps": Target(1.20, 0.85),
    "4 servers, 8 rps": Target(1.05, 1.0),
    "4 servers, 20 rps": Target(1.05, 1.0),
    "4 servers, 30 rps": Target(1.05, 1.0),
    "1 server, bursts": Target(None, None),
    "4 servers, bursts": Target(None, None),
}
"""By scenario, as in ``scenarios/sweep-standard.yml``."""


def bounds(table: pd.DataFrame) -> str:
    """Write one row a promise: the bound, what was measured with its interval, and whether it was met.

    A bound on a ratio is met when the mean over the seeds is within it. Rivals are beaten or tied when no interval of
    the ratio of our figure to theirs lies above 1; where one does, it is named.
    """
    head = ["| scenario | promise | bound | measured | verdict |", "|---|---|---|---|---|"]
    lines = []
    for name, rows in table.groupby("scenario", sort=False):
        target = TARGETS.get(str(name), Target(None, None))
        lines += [f"| {name} | " + " | ".join(promise) + " |" for promise in _promises(rows, target)]
    return "\n".join([*head, *lines, ""])


def _promises(rows: pd.DataFrame, target: Target) -> list[tuple[str, str, str, str]]:
    means = {str(variant): group.set_index("seed")["mean_ms"] for variant, group in rows.groupby("variant", sort=False)}
    tails = {str(variant): group.set_index("seed")["p99_ms"] for variant, group in rows.groupby("variant", sort=False)}
    result = []
    if target.over_sed is not None:
        result.append(_ratio("mean ÷ sed", target.over_sed, ratio(means[OURS], means[DISPATCHER])))
    if target.over_optimum is not None:
        optimum = float(rows["optimum_mean_ms"].iloc[0])
        measured = estimate(np.asarray(means[OURS] / optimum, dtype=np.float64))
        result.append(_ratio("mean ÷ static optimum", target.over_optimum, measured))
    result.append(_rivals("mean of every rival", means))
    result.append(_rivals("p99 of every rival", tails))
    return result


def _ratio(promise: str, bound: float, measured: Estimate) -> tuple[str, str, str, str]:
    met = "met" if measured.mean <= bound else "**missed**"
    return promise, f"≤ {bound:.2f}", interval(measured, ".3f"), met


def _rivals(promise: str, figures: dict[str, pd.Series[float]]) -> tuple[str, str, str, str]:
    rivals = [name for name in figures if name != DISPATCHER and not name.startswith(OWN)]
    said = {name: verdict(ratio(figures[OURS], figures[name])) for name in rivals}
    counts = [f"{sum(v == which for v in said.values())} {word}" for which, word in _COUNTED.items()]
    lost = [name for name, v in said.items() if v == "loss"]
    return promise, "beaten or tied", ", ".join(counts), f"**missed**: {', '.join(lost)}" if lost else "met"


_COUNTED = {"win": "beaten", "tie": "tied", "loss": "lost to"}
