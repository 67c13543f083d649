"""Figures of the sweeps, as SVG."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes

mpl.rcParams["svg.hashsalt"] = "spillover"  # the same figure gives the same bytes

LOAD = "arrivals.edge1.0.rps"
WIDTH_IN, HEIGHT_IN = 5.0, 3.6

MOST_DISTANT = 5.0
"""Ratio to ``sed`` from which on all cells have the darkest colour."""


def _panels(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH_IN * len(titles), HEIGHT_IN), layout="constrained")
    axes = figure.subplots(1, len(titles), squeeze=False)[0]
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title)
    return figure, list(axes)


def _legend(figure: Figure, axis: Axes) -> None:
    """Name the lines of a panel below all of them, where they hide nothing."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None})


def latency_against_load(table: pd.DataFrame, path: Path) -> None:
    """Mean (line) and p99 (dashed) against the rate at edge1, by policy; logarithmic, since overload has no end."""
    groups = list(table.groupby("scenario", sort=False))
    figure, axes = _panels([str(name) for name, _ in groups])
    for axis, (_, rows) in zip(axes, groups, strict=True):
        for variant, group in rows.groupby("variant", sort=False):
            by_rate = group.groupby(LOAD)[["mean_ms", "p99_ms"]].mean()
            (line,) = axis.plot(by_rate.index, by_rate["mean_ms"], marker=".", label=str(variant))
            axis.plot(by_rate.index, by_rate["p99_ms"], linestyle="--", linewidth=0.8, color=line.get_color())
        axis.set(xlabel="demand at edge1 (requests/s)", ylabel="latency (ms): mean, p99 dashed", yscale="log")
        axis.set_ylim(50, 20_000)
    _legend(figure, axes[0])
    _save(figure, path)


def stability_map(table: pd.DataFrame, path: Path) -> None:
    """Draw the deviation of the share kept at home, by metrics window and control period: dark is restless."""
    groups = list(table.groupby("variant", sort=False))
    figure, axes = _panels([str(name) for name, _ in groups])
    most = float(table["home_share_deviation"].max())
    for axis, (_, rows) in zip(axes, groups, strict=True):
        grid = rows.pivot_table(index="control.period_s", columns="control.window_s", values="home_share_deviation")
        image = axis.imshow(grid.to_numpy(), origin="lower", cmap="viridis_r", vmin=0, vmax=most)
        axis.set_xticks(range(len(grid.columns)), [f"{value:g}" for value in grid.columns])
        axis.set_yticks(range(len(grid.index)), [f"{value:g}" for value in grid.index])
        axis.set(xlabel="metrics window (s)", ylabel="control period (s)")
        for (row, column), value in np.ndenumerate(grid.to_numpy()):
            axis.text(
                column, row, f"{value:.2f}", ha="center", va="center", fontsize="small", color=_legible(value / most)
            )
    figure.colorbar(image, ax=axes, label="deviation of the share kept at home")
    _save(figure, path)


def _legible(share: float) -> str:
    """Colour of writing on a field whose value is this share of the darkest one's."""
    return "white" if share > 0.5 else "black"


def step_response(traces: dict[str, pd.DataFrame], path: Path) -> None:
    """Mean latency of the requests of each second after a step, and the share kept at home, by policy.

    ``traces`` holds frames with columns ``time_s``, ``latency_ms`` and ``home_share``.
    """
    figure, axes = _panels(["latency of requests by arrival", "share kept at home"])
    for name, trace in traces.items():
        axes[0].plot(trace["time_s"], trace["latency_ms"] / 1000, label=name)
        axes[1].step(trace["time_s"], trace["home_share"], where="post")
    axes[0].set(xlabel="time (s)", ylabel="latency (s)", yscale="log")
    axes[1].set(xlabel="time (s)", ylabel="share served at home", ylim=(0, 1.05))
    _legend(figure, axes[0])
    _save(figure, path)


def distance(table: pd.DataFrame, path: Path) -> None:
    """Mean latency over that of ``sed``: a policy a row, a scenario a column; the static optimum is a row, too."""
    scenarios = [str(name) for name in table["scenario"].unique()]
    means = table.pivot_table(index="variant", columns="scenario", values="mean_ms", sort=False)[scenarios]
    optimum = table.groupby("scenario", sort=False)["optimum_mean_ms"].first()[scenarios]
    ratios = (means / means.loc["sed"]).drop(index="sed")
    ratios = ratios.loc[ratios.median(axis=1).sort_values(kind="stable").index]
    grid = np.vstack([(optimum / means.loc["sed"]).to_numpy(dtype=float), ratios.to_numpy(dtype=float)])
    figure, (axis,) = _panels(["mean latency ÷ that of sed"])
    figure.set_size_inches(1.6 + 1.05 * len(scenarios), 1.6 + 0.32 * len(grid))
    axis.imshow(np.clip(grid, 1.0, MOST_DISTANT), cmap="viridis_r", norm=LogNorm(1.0, MOST_DISTANT), aspect="auto")
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            written = f"{value:.2f}" if value < 10 else f"{value:.0f}"
            colour = _legible(math.log(max(value, 1.0)) / math.log(MOST_DISTANT))
            axis.text(column, row, written, ha="center", va="center", fontsize="small", color=colour)
    axis.set_xticks(range(len(scenarios)), [name.replace(", ", ",\n") for name in scenarios])
    axis.set_yticks(range(len(grid)), ["static optimum", *map(str, ratios.index)])
    _save(figure, path)


def pareto(tables: Sequence[pd.DataFrame], path: Path, chosen: pd.DataFrame | None = None) -> None:
    """Mean latency against the spilled fraction, one point a setting of ``control``; the front is drawn through.

    One table a trigger, all over the same scenarios; what is ``chosen`` (one variant) is marked where it lies.
    """
    names = [str(name) for name in tables[0]["scenario"].unique()]
    figure, axes = _panels(names)
    for axis, name in zip(axes, names, strict=True):
        for index, table in enumerate(tables):
            rows = table[table["scenario"] == name]
            settings = [column for column in table.columns if column.startswith("control.")]
            points = rows.groupby(settings)[["spilled_fraction", "mean_ms"]].mean()
            front = pareto_front(points.to_numpy())
            axis.scatter(points["spilled_fraction"], points["mean_ms"], s=8, color=f"C{index}")
            axis.plot(front[:, 0], front[:, 1], color=f"C{index}", label=str(rows["variant"].iloc[0]))
        lowest = min(table[table["scenario"] == name]["mean_ms"].min() for table in tables)
        if chosen is not None:
            point = chosen[chosen["scenario"] == name][["spilled_fraction", "mean_ms"]].mean()
            label = f"default: {chosen['variant'].iloc[0]}"
            axis.plot(*point, "k*", markersize=12, linestyle="none", label=label)
            lowest = min(lowest, float(point["mean_ms"]))
        axis.set(xlabel="spilled fraction", ylabel="mean latency (ms)", ylim=(0.95 * lowest, 3 * lowest))
    _legend(figure, axes[0])
    _save(figure, path)


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Return the points (n x 2, both coordinates to be small) that no other point beats in both, by the first."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    best = np.minimum.accumulate(ordered[:, 1])
    leads = np.r_[True, ordered[1:, 1] < best[:-1]]
    return ordered[leads]
