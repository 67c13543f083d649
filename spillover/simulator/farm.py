"""Cells of a sweep on Dask: a local cluster by default, any scheduler by its address. The only import of Dask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pandas as pd
from distributed import Client, as_completed

from spillover.model import SpilloverError
from spillover.simulator.sweep import compute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from spillover.simulator.sweep import Cell

RESULTS = "results.parquet"
CONNECT_TIMEOUT_S = 10


def run(
    cells: Iterable[Cell],
    folder: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> pd.DataFrame:
    """Compute the cells that are not there yet and gather all into ``results.parquet``.

    Parameters
    ----------
    cells : iterable of Cell
        The sweep.
    folder : Path
        Results: ``cells/<key>.parquet`` as they come, one row each, and ``results.parquet`` at the end.
    scheduler : str, optional
        Address of a Dask scheduler whose workers have this package; by default a cluster on this machine.
    workers : int, optional
        Processes of the local cluster; by default one a core.
    progress : callable
        Told the cells done and their number, at the start and after each cell.

    Returns
    -------
    pandas.DataFrame
        One row a cell, in the sweep's order.

    Raises
    ------
    SpilloverError
        If the scheduler cannot be reached, or a cell failed; the other cells are kept.
    """
    files = {cell.key(): cell for cell in cells}
    kept = folder / "cells"
    kept.mkdir(parents=True, exist_ok=True)
    left = {key: cell for key, cell in files.items() if not (kept / f"{key}.parquet").exists()}
    progress(len(files) - len(left), len(files))
    failed: list[str] = []
    if left:
        with _client(scheduler, workers) as client, client.as_current():
            futures = {client.submit(compute, cell, key=key): key for key, cell in left.items()}
            for count, future in enumerate(as_completed(futures), 1):  # type: ignore[no-untyped-call]
                key = futures[future]
                if future.status == "finished":
                    write_atomically(pd.DataFrame([future.result()]), kept / f"{key}.parquet")
                else:
                    failed.append(_sentence(left[key], future.exception()))
                future.release()
                progress(len(files) - len(left) + count, len(files))
    if failed:
        raise SpilloverError(f"{len(failed)} of {len(files)} cells failed, the first of them {failed[0]}")
    rows = [pd.read_parquet(kept / f"{key}.parquet") for key in files]
    table = with_numbers(pd.concat(rows, ignore_index=True))
    write_atomically(table, folder / RESULTS)
    return table


def _client(scheduler: str | None, workers: int | None) -> Client:
    """Connect to a scheduler, or start processes here (threads would wait for each other's Python)."""
    if scheduler is None:
        count = workers or os.cpu_count() or 1
        return Client(  # type: ignore[no-untyped-call]
            n_workers=count,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            set_as_default=False,
        )
    try:
        return Client(scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SpilloverError(
            f"--scheduler must be the address of a Dask scheduler, got {scheduler!r}: {error}"
        ) from error


def _sentence(cell: Cell, error: BaseException | None) -> str:
    labels: dict[str, Any] = dict(cell.labels) | {"seed": cell.seed}
    where = ", ".join(f"{name}={value}" for name, value in labels.items())
    return f"({where}): {type(error).__name__}: {' '.join(str(error).split())}"


def with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which a figure that some cells do not have is a number or NaN, and no object."""
    objects = [name for name in table.columns if table[name].dtype == object]
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in objects}
    return table.assign(**{name: n for name, n in numbers.items() if (n.notna() == table[name].notna()).all()})


def write_atomically(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file so that a killed run leaves the old one or the new one, and no half."""
    unfinished = path.with_suffix(".unfinished")
    table.to_parquet(unfinished, index=False)
    unfinished.replace(path)
