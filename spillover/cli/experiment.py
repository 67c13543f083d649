"""``spillover experiment``: the cells of an experiment's file, and the load of each."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import Annotated, Any

import typer

from spillover.experiment import Experiment, calibration_s, expand, find_cell, load_experiment
from spillover.experiment_load import calibration_load, cell_load, measured_capacity_rps, rpm_max
from spillover.model import SpilloverError


def experiment(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="experiments/NAME.yml")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cells as JSON instead of a table.")] = False,
    cell: Annotated[str | None, typer.Option(help="Write the load of this cell to --out.")] = None,
    calibrate: Annotated[
        str | None, typer.Option(metavar="SITE", help="Write the load that measures this site's capacity to --out.")
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(metavar="SAMPLES", help="Print the capacity that a calibration's samples.csv shows.")
    ] = None,
    capacity: Annotated[
        list[str] | None, typer.Option(metavar="SITE=RPS", help="A measured capacity; once for each site.")
    ] = None,
    url: Annotated[
        list[str] | None, typer.Option(metavar="SITE=URL", help="An ingress's address; once for each origin.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where load.json goes.")] = None,
) -> None:
    """Print the cells with their estimated times; or write load.json for one of them; or evaluate a calibration."""
    if sum(choice is not None for choice in (cell, calibrate, measured)) > 1:
        raise SpilloverError("--cell, --calibrate and --measured exclude each other, got more than one")
    read = load_experiment(path)
    if measured is not None:
        typer.echo(json.dumps({"capacity_rps": round(measured_capacity_rps(measured, read.calibration), 4)}))
    elif calibrate is not None:
        _write(calibration_load(read, calibrate, _pairs("--url", url)), out)
    elif cell is not None:
        one, rates = find_cell(read, cell), _rates(capacity)
        _write(cell_load(read, one, rates, _pairs("--url", url)), out)
        typer.echo(json.dumps(one.to_dict() | {"rpm_max": rpm_max(one, rates)}, indent=2))
    else:
        typer.echo(json.dumps(_document(read), indent=2) if as_json else _table(read))


def _document(read: Experiment) -> dict[str, Any]:
    cells = expand(read)
    return {
        "experiment": read.name,
        "cells": [cell.to_dict() for cell in cells],
        "calibration_s": calibration_s(read),
        "estimated_s": round(calibration_s(read) + sum(cell.estimated_s for cell in cells), 1),
        "settings": read.model_dump(mode="json", by_alias=True),
    }


def _table(read: Experiment) -> str:
    cells = expand(read)
    width = max(len(cell.cell) for cell in cells)
    lines = [f"{read.name}: {read.question}", ""]
    lines.append(f"{'cell':<{width}}  {'against':<12}  step    estimated")
    lines += [
        f"{cell.cell:<{width}}  {cell.baseline or '-':<12}"
        f"  {cell.settings['duration_s']:>4.0f} s  {_minutes(cell.estimated_s):>9}"
        for cell in cells
    ]
    total_s = calibration_s(read) + sum(cell.estimated_s for cell in cells)
    lines += ["", f"{len(cells)} cells and the calibration of {len(read.sites)} sites: about {_minutes(total_s)}"]
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def _write(load: dict[str, Any], out: Path | None) -> None:
    if out is None:
        raise SpilloverError("--out is missing: it names the load.json to write")
    try:
        out.write_text(json.dumps(load, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SpilloverError(f"{out}: cannot be written: {error.strerror}") from error


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or []:
        site, equals, value = text.partition("=")
        if not (site and equals and value):
            raise SpilloverError(f"{option} must be SITE=VALUE, got {text!r}")
        if site in pairs:
            raise SpilloverError(f"{option} must name each site once, got {site!r} twice")
        pairs[site] = value
    return pairs


def _rates(texts: list[str] | None) -> dict[str, float]:
    rates = {}
    for site, text in _pairs("--capacity", texts).items():
        try:
            rates[site] = float(text)
        except ValueError:
            raise SpilloverError(f"--capacity of {site} must be a number, got {text!r}") from None
        if not 0 < rates[site] < float("inf"):
            raise SpilloverError(f"--capacity of {site} must be above 0 and finite, got {text!r}")
    return rates
