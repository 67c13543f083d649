"""Read controller.jsonl: what the controller saw and decided, over time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import documents
from spillover.model import SpilloverError

DEMAND_COLUMNS = ("time_s", "origin", "demand_rpm")
WEIGHT_COLUMNS = ("time_s", "origin", "site", "weight", "weight_percent")


@dataclass(frozen=True, slots=True)
class Ticks:
    """The controller's view of a cell.

    Parameters
    ----------
    demand
        Columns ``time_s`` (from the load's start), ``origin``, ``demand_rpm`` (NaN where it did not know).
    weights
        Columns ``time_s``, ``origin``, ``site``, ``weight``, ``weight_percent`` (of the origin's total).
    foreign_lines
        Lines of the log that are not the controller's.
    """

    demand: pd.DataFrame
    weights: pd.DataFrame
    foreign_lines: int = 0


def no_ticks() -> Ticks:
    """Return the view of a cell that had no controller."""
    return Ticks(pd.DataFrame(columns=list(DEMAND_COLUMNS)), pd.DataFrame(columns=list(WEIGHT_COLUMNS)))


def read_ticks(path: Path, *, started_at_s: float) -> Ticks:
    """Return the ticks in `path`, their times counted from `started_at_s` (unix seconds, the load's start).

    Raises
    ------
    SpilloverError
        If the file is missing, a line is torn, or a tick's field is not what it should be.
    """
    demand: list[tuple[float, str, float | None]] = []
    weights: list[tuple[float, str, str, int, float]] = []
    foreign_lines = 0
    for number, line in documents.read_lines(path):
        if line is None:
            foreign_lines += 1
        elif line.get("event") == "tick" and line.get("leading", True):  # who does not lead writes nothing
            where = f"{path} line {number}"
            time_s = documents.number(line, "time", where) - started_at_s
            demand += [(time_s, *row) for row in _demand(line, where)]
            weights += [(time_s, *row) for row in _weights(line, where)]
    # The logs of several controllers stand one after the other; leadership may have changed, and changed back.
    demand.sort(key=_time_s)
    weights.sort(key=_time_s)
    return Ticks(
        pd.DataFrame(demand, columns=list(DEMAND_COLUMNS)).astype({"demand_rpm": float}),
        pd.DataFrame(weights, columns=list(WEIGHT_COLUMNS)),
        foreign_lines,
    )


def _time_s(row: tuple[float, *tuple[object, ...]]) -> float:
    return row[0]


def _demand(line: documents.JsonObject, where: str) -> Iterator[tuple[str, float | None]]:
    demand = documents.mapping(line, "demand_rpm", where)
    for origin, value in demand.items():
        yield origin, None if value is None else documents.number(demand, origin, f"{where}: demand_rpm")


def _weights(line: documents.JsonObject, where: str) -> Iterator[tuple[str, str, int, float]]:
    weights = documents.mapping(line, "weights", where)
    for origin in weights:
        by_site = documents.mapping(weights, origin, f"{where}: weights")
        total = _total(by_site, f"{where}: weights.{origin}")
        for site, weight in by_site.items():
            yield origin, site, weight, 100 * weight / total


def _total(by_site: documents.JsonObject, where: str) -> int:
    values: list[Any] = list(by_site.values())
    if any(not isinstance(value, int) or isinstance(value, bool) or value < 0 for value in values) or sum(values) == 0:
        raise SpilloverError(f"{where} must be integers from 0 with a sum above 0, got {dict(by_site)!r}")
    return sum(values)
