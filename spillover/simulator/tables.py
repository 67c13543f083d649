"""Tables of a sweep in Markdown: every policy beside ``sed``, the optimum and the product's own default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spillover.simulator.statistics import Estimate, estimate, ratio, verdict

if TYPE_CHECKING:
    import pandas as pd

DISPATCHER = "sed"
OURS = "cooperative, overflow"


def standard(table: pd.DataFrame) -> str:
    """Write one section a scenario: latency, spill, writes, distance from ``sed`` and optimum, our verdict.

    The verdict compares our default's mean with the row's, seed by seed; "tie" when 1 lies in the 95 % interval.
    """
    return "\n".join(_scenario(str(name), rows) for name, rows in table.groupby("scenario", sort=False))


def _scenario(name: str, rows: pd.DataFrame) -> str:
    optimum = rows["optimum_mean_ms"].iloc[0]
    known = f"; static optimum {optimum:.1f} ms" if np.isfinite(optimum) else ""
    head = [
        f"#### {name}{known}",
        "",
        "| policy | mean ms | p99 ms | within 500 ms | spilled | writes/min | ÷ sed | ÷ optimum | ours against it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    means = {str(variant): group.set_index("seed")["mean_ms"] for variant, group in rows.groupby("variant", sort=False)}
    body = [_row(str(variant), group, means, optimum) for variant, group in rows.groupby("variant", sort=False)]
    return "\n".join([*head, *body, ""])


def _row(variant: str, group: pd.DataFrame, means: dict[str, pd.Series[float]], optimum: float) -> str:
    mean = estimate(group["mean_ms"].to_numpy(dtype=float))
    against_sed = ratio(means[variant], means[DISPATCHER]) if DISPATCHER in means else None
    ours = "" if variant == OURS or OURS not in means else verdict(ratio(means[OURS], means[variant]))
    cells = [
        variant,
        interval(mean, ".1f"),
        f"{group['p99_ms'].mean():.0f}",
        f"{100 * group['within_slo_fraction'].mean():.1f} %",
        f"{100 * group['spilled_fraction'].mean():.1f} %",
        f"{group['writes_per_minute'].mean():.1f}",
        "" if against_sed is None else interval(against_sed, ".3f"),
        f"{mean.mean / optimum:.3f}" if np.isfinite(optimum) else "",
        ours,
    ]
    return "| " + " | ".join(cells) + " |"


def interval(value: Estimate, form: str) -> str:
    """Write a mean with the reach of its interval."""
    return f"{value.mean:{form}}" if np.isnan(value.reach) else f"{value.mean:{form}} ± {value.reach:{form}}"


def step(table: pd.DataFrame) -> str:
    """Write what queues up after a step, by variant: the longest latency, the mean, and that of the last minute."""
    head = ["| policy | longest s | mean s | mean of the last minute s |", "|---|---|---|---|"]
    body = [
        f"| {variant} | {group['max_ms'].mean() / 1e3:.1f} | {group['mean_ms'].mean() / 1e3:.2f} "
        f"| {group['last_minute_mean_ms'].mean() / 1e3:.2f} |"
        for variant, group in table.groupby("variant", sort=False)
    ]
    return "\n".join([*head, *body, ""])


def neighbours(table: pd.DataFrame) -> str:
    """Write the mean latency by the paper's limit and the neighbour's distance; the best limit of each is bold."""
    means = table.pivot_table(index="variant", columns="links.0.rtt_ms", values="mean_ms", sort=False)
    limits = means[means.index.str.startswith("limit")]
    head = ["| mean ms | " + " | ".join(f"{rtt:g} ms away" for rtt in means.columns) + " |"]
    head.append("|---" * (len(means.columns) + 1) + "|")
    body = []
    for variant, row in means.iterrows():
        best = {rtt for rtt in means.columns if row[rtt] == limits[rtt].min()}
        cells = [f"**{row[rtt]:.1f}**" if rtt in best else f"{row[rtt]:.1f}" for rtt in means.columns]
        body.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join([*head, *body, ""])


def stability(table: pd.DataFrame) -> str:
    """Write the restlessness of the weights by variant: least, median and most over the map."""
    mean = table.groupby(["variant", "control.window_s", "control.period_s"], sort=False)["home_share_deviation"].mean()
    head = ["| policy | least | median | most (standard deviation of the share kept at home) |", "|---|---|---|---|"]
    body = [
        f"| {variant} | {values.min():.3f} | {values.median():.3f} | {values.max():.3f} |"
        for variant, values in mean.groupby(level="variant", sort=False)
    ]
    return "\n".join([*head, *body, ""])
