"""The main figure: latency, RPM and weights over time.

A column is a variant; a band is a baseline and what is compared with it. All panels of a row share one vertical axis
over the whole figure, all panels of a column one time axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from analysis import wording
from analysis.figures import GRID, INK, MUTED, STYLE, WIDTH_IN, site_looks
from analysis.load import UNBALANCED, Cell, Run
from analysis.metrics import merit, middle_repeat
from analysis.replicas import later_at

COLUMNS_AT_MOST = 4
MEDIAN_WINDOW_S = 5.0  # at least; a twenty-fourth of the step if that is longer
RPM_WINDOW_S = 5.0
ROW_HEIGHTS = (2.1, 1.15, 0.95)
RUNNING_MEDIAN_COLOUR = "#b3261e"
CONTROLLER_LOOK: dict[str, Any] = {"color": "#7a3e9d", "linewidth": 1.2, "linestyle": (0, (4, 1.5))}
LEAD_IN_COLOUR = "#f3f5f7"
TIMES_MS = (1, 10, 100, 1_000, 10_000, 100_000)


@dataclass(frozen=True, slots=True)
class _Scales:
    """What all panels share."""

    origin: str
    sites: tuple[str, ...]
    latency_ms: tuple[float, float]
    rpm: float


def timeline(run: Run) -> Figure:
    """Return the main figure of `run`; of several repeats it shows the middle one."""
    bands = _bands(run)
    columns = max(len(band) for band in bands)
    scales = _scales(run)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(WIDTH_IN, 0.55 + 5.0 * len(bands)), layout=ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.03)
        )
        figure.legend(handles=_legend(scales), loc="outside upper left", ncols=5, columnspacing=1.4, handlelength=2.4)
        parts = figure.subfigures(len(bands), 1, squeeze=False, hspace=0.04)[:, 0]
        for band, part in zip(bands, parts, strict=True):
            axes = part.subplots(3, columns, sharex=True, sharey="row", height_ratios=ROW_HEIGHTS, squeeze=False)
            for column in range(columns):
                if column < len(band):
                    _column(axes[:, column], run, band[column], scales, first=column == 0)
                else:
                    for panel in axes[:, column]:
                        panel.set_visible(False)
    return figure


def _bands(run: Run) -> list[list[Cell]]:
    """Put each baseline and the variants compared with it together; more than fit in a row go on in the next band."""
    groups: dict[str, list[Cell]] = {}
    for variant in run.variants:
        cell = middle_repeat(run.repeats(variant))
        groups.setdefault(cell.baseline or variant, []).append(cell)
    bands = []
    for name, cells in groups.items():
        ordered = sorted(cells, key=lambda cell, name=name: cell.variant != name)  # type: ignore[misc]
        bands += [ordered[start : start + COLUMNS_AT_MOST] for start in range(0, len(ordered), COLUMNS_AT_MOST)]
    return bands


def _scales(run: Run) -> _Scales:
    answers = pd.concat([cell.samples["response_ms"] for cell in run.cells]).dropna()
    origin = run.busiest_origin
    rates = [run.capacity_rpm(origin) or 0.0]
    for cell in run.cells:
        rates += [_rpm(cell, origin)[1].max(), cell.ticks.demand["demand_rpm"].max()]
    lowest, highest = max(float(answers.quantile(0.001)), 0.1), float(answers.max())
    return _Scales(origin, run.sites, (lowest / 1.6, highest * 1.6), 1.1 * float(np.nanmax(rates)))


def _column(axes: Sequence[Axes], run: Run, cell: Cell, scales: _Scales, *, first: bool) -> None:
    latency, rpm, weights = axes
    ends_s = float(cell.samples["start_s"].max()) - cell.lead_in_s
    figures = merit(cell)
    latency.set_title(
        f"median {wording.ms(figures.p50_ms)}, mean {wording.ms(figures.mean_ms)}", loc="left", fontsize=8.5, pad=4
    )
    latency.annotate(
        cell.variant, (0, 1), xytext=(0, 19), xycoords="axes fraction", textcoords="offset points",
        fontsize=10.5, fontweight="bold", va="bottom", annotation_clip=False,
    )  # fmt: skip
    _latency(latency, cell, scales)
    _rates(rpm, run, cell, scales)
    _weights(weights, cell, scales, ends_s)
    for panel in axes:
        if cell.lead_in_s:
            panel.axvspan(-cell.lead_in_s, 0, color=LEAD_IN_COLOUR, zorder=0)
            panel.axvline(0, color=MUTED, linewidth=0.8)
        panel.set_xlim(-cell.lead_in_s, ends_s)
    weights.set_xlabel("seconds since the step")
    if first:
        latency.set_ylabel("latency (log)")
        rpm.set_ylabel(f"RPM at {scales.origin}")
        weights.set_ylabel(f"weights at\n{scales.origin}, %")
        latency.figure.align_ylabels(list(axes))


def _latency(panel: Axes, cell: Cell, scales: _Scales) -> None:
    samples = cell.samples.dropna(subset=["response_ms"])
    time_s = samples["start_s"] - cell.lead_in_s
    looks = site_looks(scales.sites)
    for site in scales.sites:
        chosen = samples["in_step"] & ~samples["is_error"] & (samples["serving_site"] == site)
        _dots(panel, time_s[chosen], samples.loc[chosen, "response_ms"], looks[site][0])
    _dots(panel, time_s[~samples["in_step"]], samples.loc[~samples["in_step"], "response_ms"], MUTED)
    failed = samples["in_step"] & samples["is_error"]
    panel.scatter(time_s[failed], samples.loc[failed, "response_ms"], s=14, marker="x", color=INK, linewidths=0.5,
                  rasterized=True)  # fmt: skip
    window_s = max(MEDIAN_WINDOW_S, float(time_s.max()) / 24)
    for chosen, colour in ((samples["in_step"], RUNNING_MEDIAN_COLOUR), (~samples["in_step"], MUTED)):
        middle_s, median_ms = _running_median(time_s[chosen], samples.loc[chosen, "response_ms"], window_s)
        panel.plot(middle_s, median_ms, color="white", linewidth=3.4)
        panel.plot(middle_s, median_ms, color=colour, linewidth=1.8)
    panel.set_yscale("log")
    panel.set_ylim(*scales.latency_ms)
    panel.yaxis.set_major_locator(FixedLocator(TIMES_MS))
    panel.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s")
    )
    panel.yaxis.set_minor_formatter(NullFormatter())


def _dots(panel: Axes, time_s: pd.Series, latency_ms: pd.Series, colour: str) -> None:
    panel.scatter(time_s, latency_ms, s=5, color=colour, alpha=0.35, linewidths=0, rasterized=True)


def _running_median(time_s: pd.Series, latency_ms: pd.Series, window_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (times, medians) each second, over the requests that started within half a window of it."""
    if time_s.empty:
        return np.empty(0), np.empty(0)
    starts, latencies = time_s.to_numpy(), latency_ms.to_numpy()
    centres = np.arange(starts[0], starts[-1] + 0.5, 1.0)
    low = np.searchsorted(starts, centres - window_s / 2)
    high = np.searchsorted(starts, centres + window_s / 2)
    medians = [
        np.median(latencies[first:last]) if last > first else np.nan for first, last in zip(low, high, strict=True)
    ]
    return centres, np.array(medians)


def _rates(panel: Axes, run: Run, cell: Cell, scales: _Scales) -> None:
    edges_s, rpm = _rpm(cell, scales.origin)
    panel.stairs(rpm, edges_s - cell.lead_in_s, color=INK, linewidth=1.4, baseline=None)
    seen = cell.ticks.demand[cell.ticks.demand["origin"] == scales.origin]
    panel.step(seen["time_s"] - cell.lead_in_s, seen["demand_rpm"], where="post", **CONTROLLER_LOOK)
    capacity_rpm = run.capacity_rpm(scales.origin)
    if capacity_rpm is not None:
        panel.axhline(capacity_rpm, color=MUTED, linewidth=1.0, linestyle="-.")
        factor = cell.settings.get("rpm_max_factor")
        if cell.policy != UNBALANCED and isinstance(factor, int | float):
            panel.axhline(factor * capacity_rpm, color=INK, linewidth=1.2, linestyle=":")
    for ready_s in later_at(cell, scales.origin):
        panel.axvline(ready_s, color=INK, linewidth=1.0)
        panel.annotate("one more replica", (ready_s, 0), xytext=(3, 3), textcoords="offset points", fontsize=7.5)
    panel.set_ylim(0, scales.rpm)


def _rpm(cell: Cell, origin: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (edges in seconds from the load's start, requests per minute between them), an edge at the step."""
    starts = cell.samples.loc[cell.samples["origin"] == origin, "start_s"].to_numpy()
    ends_s = float(cell.samples["start_s"].max())
    before = np.arange(cell.lead_in_s, -RPM_WINDOW_S, -RPM_WINDOW_S)[::-1]
    after = np.arange(cell.lead_in_s, ends_s + RPM_WINDOW_S / 2, RPM_WINDOW_S)
    edges = np.unique(np.clip(np.concatenate([before, after]), 0, None))
    edges[-1] = max(ends_s, edges[-2] + 0.1) if len(edges) > 1 else ends_s
    if len(edges) < 2:
        edges = np.array([0.0, max(ends_s, 0.1)])
    counts, _ = np.histogram(starts, edges)
    return edges, 60 * counts / np.diff(edges)


def _weights(panel: Axes, cell: Cell, scales: _Scales, ends_s: float) -> None:
    times_s, shares = _shares(cell, scales, ends_s)
    looks = site_looks(scales.sites)
    floor = np.zeros(len(times_s))
    for site in scales.sites:
        top = floor + shares[site]
        if shares[site].any():
            colour, hatch = looks[site]
            panel.fill_between(times_s, floor, top, step="post", facecolor=colour, hatch=hatch, edgecolor="white",
                               linewidth=0.4, alpha=0.9)  # fmt: skip
        floor = top
    panel.set_ylim(0, 100)
    panel.set_yticks([0, 50, 100])
    panel.grid(visible=False)


def _shares(cell: Cell, scales: _Scales, ends_s: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the times and, by site, the weights in per cent from each time on; all at home until the first tick."""
    weights = cell.ticks.weights[cell.ticks.weights["origin"] == scales.origin]
    table = weights.pivot_table(index="time_s", columns="site", values="weight_percent", aggfunc="last").fillna(0.0)
    table.index = table.index - cell.lead_in_s
    at_home = pd.DataFrame({scales.origin: [100.0]}, index=[-cell.lead_in_s])
    table = pd.concat([at_home, table]).fillna(0.0) if table.empty or table.index[0] > -cell.lead_in_s else table
    table.loc[max(ends_s, float(table.index[-1]))] = table.iloc[-1]
    return table.index.to_numpy(float), {
        site: table[site].to_numpy(float) if site in table else np.zeros(len(table)) for site in scales.sites
    }


def _legend(scales: _Scales) -> list[Line2D | Patch]:
    sites = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=_site_label(site, scales))
        for site, (colour, hatch) in site_looks(scales.sites).items()
    ]
    return [
        Line2D([], [], color=RUNNING_MEDIAN_COLOUR, linewidth=1.8, label="running median of the latency"),
        Line2D([], [], color=INK, marker="x", linestyle="", markersize=4, label="error (a time-out at its length)"),
        Line2D([], [], color=INK, linewidth=1.4, label="demand: requests that entered"),
        Line2D([], [], label="demand as the controller knew it", **CONTROLLER_LOOK),
        Line2D([], [], color=MUTED, linestyle="-.", label="measured capacity"),
        Line2D([], [], color=INK, linestyle=":", linewidth=1.2, label="RPM_max"),
        *sites,
        Patch(facecolor=LEAD_IN_COLOUR, edgecolor=GRID, label="lead-in (does not count)"),
    ]


def _site_label(site: str, scales: _Scales) -> str:
    return f"kept at {site}" if site == scales.origin else f"spilled to {site}"
