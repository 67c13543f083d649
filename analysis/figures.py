"""Looks that all figures share, the bars, and how a figure becomes bytes. No figure depends on colour alone."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import wording
from analysis.metrics import Measured, Merit, middle

INK = "#1f2933"
MUTED = "#66717e"
GRID = "#dfe4ea"
# Okabe and Ito's colours, told apart by every kind of colour vision; the hatches tell the same without any colour.
SITE_LOOKS = (("#0072b2", ""), ("#e69f00", "////"), ("#009e73", "...."), ("#cc79a7", "xxxx"), ("#56b4e9", "----"))
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.titlesize": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "path",  # text as shapes: a report looks the same wherever it is opened
    "svg.hashsalt": "spillover",  # the same run gives the same bytes
}
WIDTH_IN = 11.4
RASTER_DPI = 200  # of what is drawn as an image inside the SVG: thousands of dots


def site_looks(sites: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return (colour, hatch) of each site, the same in every figure of a report."""
    return {site: SITE_LOOKS[index % len(SITE_LOOKS)] for index, site in enumerate(sites)}


def to_bytes(figure: Figure, kind: str = "svg") -> bytes:
    """Return `figure` as SVG or PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=RASTER_DPI, metadata={"Date": None} if kind == "svg" else {})
    return buffer.getvalue()


def to_inline(figure: Figure) -> str:
    """Return `figure` as an SVG element to stand inside HTML: no XML prologue, no fixed size."""
    svg = to_bytes(figure).decode()
    return svg[svg.index("<svg") :]


def bars(measured: Measured) -> Figure:
    """Return the mean and the median of response and processing time by variant, on one axis each."""
    by_variant = measured.merits
    height = 0.9 + 0.55 * len(by_variant)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, height + 0.35), layout="constrained")
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, (title, response, processing) in zip(
            axes,
            (("mean", "mean_ms", "mean_processing_ms"), ("median", "p50_ms", "p50_processing_ms")),
            strict=True,
        ):
            _bars_panel(panel, by_variant, response, processing)
            panel.set_title(title, loc="left", fontweight="bold")
            for place, variant in enumerate(by_variant):
                if place and measured.run.repeats(variant)[0].baseline is None:
                    panel.axhline(place - 0.5, color=MUTED, linewidth=0.8)
        axes[0].invert_yaxis()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
    return figure


def _bars_panel(panel: Axes, by_variant: Mapping[str, Sequence[Merit]], response: str, processing: str) -> None:
    places = np.arange(len(by_variant))
    looks = (
        (-0.19, response, "response time (as the client saw it)", {"color": INK}),
        (
            0.19,
            processing,
            "processing time (in the application, queue included)",
            {"color": "white", "edgecolor": INK, "hatch": "////", "linewidth": 0.8},
        ),
    )
    longest = 0.0
    for offset, name, label, look in looks:
        values = [[getattr(one, name) for one in repeats] for repeats in by_variant.values()]
        lengths_s = [(middle(repeats) or 0.0) / 1000 for repeats in values]
        longest = max(longest, *lengths_s)
        panel.barh(places + offset, lengths_s, height=0.34, label=label, **look)
        for place, length_s, repeats in zip(places, lengths_s, values, strict=True):
            known = [value for value in repeats if value is not None]
            spread = f"  ({wording.ms(min(known))} to {wording.ms(max(known))})" if len(known) > 1 else ""
            panel.annotate(
                f"{wording.ms(middle(repeats))}{spread}",
                (length_s, place + offset),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    panel.set_xlim(0, 1.25 * longest)
    panel.set_yticks(places, list(by_variant), fontsize=9, color=INK)
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.set_xlabel("seconds")
