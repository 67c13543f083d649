"""Run the sweeps of scenarios/, draw their figures and write their tables: `python benchmarks/simulator_report.py`.

Cells that are there already are not computed again, so it may be stopped and started. The tables of docs/simulator.md
stand between two markers each, and only what is between them is replaced.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
import typer

from spillover.cli.progress import progress_bars
from spillover.simulator import engine, farm, figures, summary, sweep, tables

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SWEEPS = ("standard", "load", "stability", "step", "neighbour", "pareto-bucket", "pareto-inflight")
TABLES: dict[str, Callable[[pd.DataFrame], str]] = {
    "standard": tables.standard,
    "stability": tables.stability,
    "step": tables.step,
    "neighbour": tables.neighbours,
}
TRACE_STEP_S = 5.0


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


def replace_table(document: Path, name: str, table: str) -> None:
    """Put a table between its markers."""
    text = document.read_text(encoding="utf-8")
    begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise typer.BadParameter(f"{document.name} must have the markers {begin} and {end}")
    document.write_text(pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text), encoding="utf-8")


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
        figures.pareto([results["pareto-bucket"], results["pareto-inflight"]], out / "pareto.svg")


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
    for name, render in TABLES.items():
        if name in results:
            replace_table(document, name, render(results[name]))
    typer.echo(str(out))


if __name__ == "__main__":
    typer.run(main)
