"""The load of an experiment: load.json for a cell or a calibration, and the capacity that a calibration measured.

Demand is given as a multiple of the capacity, so the same file asks the same question on a fast and on a slow machine.
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any, TypeVar

from spillover.model import SpilloverError
from spillover.validation import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spillover.experiment import Calibration, Cell, Experiment, Load

Value = TypeVar("Value")


def rpm_max(cell: Cell, capacity_rps: Mapping[str, float]) -> dict[str, float]:
    """RPM_max of every site for this cell: 60 * rpm_max_factor * capacity, in requests per minute."""
    return {site: round(60 * cell.settings["rpm_max_factor"] * rps, 3) for site, rps in capacity_rps.items()}


def cell_load(
    experiment: Experiment, cell: Cell, capacity_rps: Mapping[str, float], urls: Mapping[str, str]
) -> dict[str, Any]:
    """Build load.json for a cell.

    Parameters
    ----------
    experiment, cell
        The load's shape, and the cell's length and seed.
    capacity_rps
        Measured capacity of each origin, in requests per second.
    urls
        Address of each origin's ingress.

    Raises
    ------
    SpilloverError
        If an origin's capacity or address is missing, or the load would exceed `load.max_requests`.
    """
    load, lead_in_s, duration_s = experiment.load, experiment.load.lead_in_s, cell.settings["duration_s"]
    streams, expected = [], 0.0
    for index, stream in enumerate(load.streams):
        capacity = cell.settings["load_factor"] * _of_origin(capacity_rps, stream.origin, "capacity")
        steps = [{"from_s": lead_in_s, "rps": round(stream.factor * capacity, 6)}]
        if lead_in_s:
            steps.insert(0, {"from_s": 0.0, "rps": round(stream.lead_in_factor * capacity, 6)})
        expected += capacity * (stream.lead_in_factor * lead_in_s + stream.factor * duration_s)
        # One seed of the cell, different arrivals for each origin.
        fields = {"arrivals": stream.arrivals, "seed": 1000 * cell.seed + index, "steps": steps}
        streams.append(_stream(load, stream.origin, urls) | fields)
    most = math.ceil(expected + 6 * math.sqrt(expected))  # Poisson arrivals exceed this once in a thousand million
    if most > load.max_requests:
        raise SpilloverError(f"load.max_requests must be at least {most} for cell {cell.cell}, got {load.max_requests}")
    return _plan(load, streams, lead_in_s + duration_s)


def calibration_load(experiment: Experiment, site: str, urls: Mapping[str, str]) -> dict[str, Any]:
    """Build load.json for measuring one site's capacity; SpilloverError for a site without an address."""
    if site not in experiment.sites:
        raise SpilloverError(f"site must be one of {', '.join(experiment.sites)}, got {site!r}")
    users = experiment.calibration.users_per_server * experiment.sites[site].servers
    stream = _stream(experiment.load, site, urls) | {"arrivals": "closed", "users": users}
    return _plan(experiment.load, [stream], experiment.calibration.duration_s)


def _stream(load: Load, origin: str, urls: Mapping[str, str]) -> dict[str, Any]:
    return {"origin": origin, "url": _of_origin(urls, origin, "url"), "path": load.path, "host": load.host}


def _plan(load: Load, streams: list[dict[str, Any]], duration_s: float) -> dict[str, Any]:
    limits = {"timeout_s": load.timeout_s, "drain_s": load.drain_s, "max_requests": load.max_requests}
    return {"streams": streams, "duration_s": duration_s, **limits}


def _of_origin(values: Mapping[str, Value], origin: str, field: str) -> Value:
    if origin not in values:
        raise SpilloverError(f"{field} of {origin} is missing: got it for {', '.join(values) or 'no site'}")
    return values[origin]


def measured_capacity_rps(samples: Path, calibration: Calibration) -> float:
    """Return the rate of good answers in a calibration's samples.csv, after its first `skip_s` seconds.

    Raises
    ------
    SpilloverError
        If the file cannot be read, lacks a column, or holds a failed request: a capacity measured while requests fail
        would not be one.
    """
    answered = 0
    try:
        for row in csv.DictReader(io.StringIO(read_text(samples))):
            if row["error"]:
                raise SpilloverError(f"{samples}: request {row['request_id']} failed: {row['error']}")
            end_s = float(row["start_s"]) + float(row["latency_ms"]) / 1000
            answered += calibration.skip_s <= end_s < calibration.duration_s
    except (KeyError, TypeError) as error:
        raise SpilloverError(f"{samples} is not a table of samples: {error}") from error
    if not answered:
        raise SpilloverError(f"{samples}: no request was answered after {calibration.skip_s:g} s")
    return answered / (calibration.duration_s - calibration.skip_s)
