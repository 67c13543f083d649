"""``spillover sweep``: many simulations on Dask, kept as they are done."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import Annotated

import typer

from spillover.cli.progress import progress_bars
from spillover.simulator import farm
from spillover.simulator import sweep as sweeps


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.yml", help="Scenarios, variants, parameters, seeds.")],
    out: Annotated[Path, typer.Option(help="Where the results go; what is there already is not computed again.")],
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler; by default this machine.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on this machine; by default one a core.")
    ] = None,
) -> None:
    """Run many simulations and gather them in results.parquet."""
    cells = sweeps.load(file)
    with progress_bars() as bar:
        table = farm.run(cells, out, scheduler=scheduler, workers=workers, progress=bar(file.stem))
    typer.echo(json.dumps({"cells": len(table), "results": str(out / farm.RESULTS)}))
