"""Run the sweeps of scenarios/, draw their figures and write their tables: `python benchmarks/simulator_report.py`.

Cells that are there already are not computed again, so it may be stopped and started. The tables of docs/simulator.md
stand between two markers each, and only what is between them is replaced; its pictures lie in docs/pictures.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import simulator
import typer
from documents import replace_table

from spillover.cli.progress import progress_bars
from spillover.simulator import engine, farm, figures, summary, sweep, tables, targets

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SWEEPS = ("standard", "load", "stability", "step", "neighbour", "pareto-bucket", "pareto-inflight")
TABLES: dict[str, tuple[str, Callable[[pd.DataFrame], str]]] = {
    "bounds": ("standard", targets.bounds),
    "standard": ("standard", tables.standard),
    "stability": ("stability", tables.stability),
    "step": ("step", tables.step),
    "neighbour": ("neighbour", tables.neighbours),
}
"""By marker: the sweep that a table is made of, and how."""

PICTURES = ("load", "standard", "pareto", "stability")
"""Figures that the document shows."""

TRACE_STEP_S = 5.0
WANTED_PER_S = 1_000_000


def step_traces() -> dict[str, pd.DataFrame]:
    """Run each variant of the step once and average over a few seconds."""
    cells = [cell for cell in sweep.load(ROOT / "scenarios" / "sweep-step.yml") if cell.seed == 0]
    traces = {}
    for cell in cells:
        run = engine.simulate(cell.scenario, cell.policy, cell.mode, cell.seed)
        measured = summary.measured_requests(run)
        bins = np.floor(measured["arrival_s"] / TRACE_STEP_S) * TRACE_STEP_S
        frame = pd.DataFrame(
            {
                "time_s": bins,
                "latency_ms": 1000.0 * (measured["answered_s"] - measured["arrival_s"]),
                "home_share": measured["destination"] == measured["origin"],
            }
        )
        traces[str(cell.labels["variant"])] = frame.groupby("time_s", as_index=False).mean()
    return traces


def computing_time(results: dict[str, pd.DataFrame]) -> str:
    """Write how long the sweeps took on one core, whenever their cells were computed."""
    head = ["| sweep | simulations | minutes on one core |", "|---|---|---|"]
    rows = [(name, len(table), float(table["took_s"].sum()) / 60.0) for name, table in results.items()]
    rows.append(("all", sum(count for _, count, _ in rows), sum(minutes for _, _, minutes in rows)))
    return "\n".join([*head, *(f"| {name} | {count} | {minutes:.1f} |" for name, count, minutes in rows), ""])


def speed() -> str:
    """Measure simulated requests per second and write them with the day and what else the machine did."""
    measured = [simulator.measure(name) for name in simulator.CASES]
    plain = measured[0]["requests_per_s"]
    verdict = "met" if plain >= WANTED_PER_S else "**missed**"
    head = [
        f"{datetime.now(UTC):%d %B %Y}; wanted in the plain case: at least {WANTED_PER_S:,} a second, {verdict}.",
        "",
        "| case | requests | seconds | requests per second |",
        "|---|---|---|---|",
    ]
    rows = [f"| {m['case']} | {m['requests']:,} | {m['best_s']} | {m['requests_per_s']:,} |" for m in measured]
    return "\n".join([*head, *rows, ""])


def draw(results: dict[str, pd.DataFrame], out: Path) -> None:
    """Draw every figure whose sweep has been run."""
    drawings: dict[str, Callable[[pd.DataFrame, Path], None]] = {
        "load": figures.latency_against_load,
        "stability": figures.stability_map,
        "standard": figures.distance,
    }
    for name, drawing in drawings.items():
        if name in results:
            drawing(results[name], out / f"{name}.svg")
    if "step" in results:
        figures.step_response(step_traces(), out / "step.svg")
    if "pareto-bucket" in results and "pareto-inflight" in results:
        chosen = results.get("standard")
        chosen = None if chosen is None else chosen[chosen["variant"] == tables.OURS]
        figures.pareto([results["pareto-bucket"], results["pareto-inflight"]], out / "pareto.svg", chosen)


def main(
    out: Annotated[Path, typer.Option(help="Where results and figures go.")] = ROOT / "results" / "simulator",
    only: Annotated[list[str] | None, typer.Option(help="Sweeps to run; by default all.")] = None,
    document: Annotated[Path, typer.Option(help="Whose tables are replaced.")] = ROOT / "docs" / "simulator.md",
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes on this machine.")] = None,
) -> None:
    """Run sweeps, draw figures, write tables."""
    results = {}
    with progress_bars() as bar:
        for name in only or SWEEPS:
            results[name] = farm.run(
                sweep.load(ROOT / "scenarios" / f"sweep-{name}.yml"),
                out / name,
                scheduler=scheduler,
                workers=workers,
                progress=bar(name),
            )
    draw(results, out)
    for name in PICTURES:
        if (out / f"{name}.svg").exists():
            shutil.copyfile(out / f"{name}.svg", document.parent / "pictures" / f"simulator-{name}.svg")
    for name, (source, render) in TABLES.items():
        if source in results:
            replace_table(document, name, render(results[source]))
    replace_table(document, "time", computing_time(results))
    if only is None:
        replace_table(document, "speed", speed())
    typer.echo(str(out))


if __name__ == "__main__":
    typer.run(main)
