"""Read samples.csv: one row a request, checked, with the two verdicts that every figure needs (error, time-out)."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from spillover.model import SpilloverError
from spillover.validation import read_text

TEXT_COLUMNS = ("request_id", "origin", "serving_site", "error")
REQUIRED_NUMBERS = ("scheduled_at_s", "start_time_s", "start_s", "status", "lateness_ms")
OPTIONAL_NUMBERS = ("latency_ms", "processing_ms", "service_ms")
COLUMNS = (*TEXT_COLUMNS, *REQUIRED_NUMBERS, *OPTIONAL_NUMBERS)
HEADER_LINES = 1


def read_samples(path: Path, *, lead_in_s: float, timeout_ms: float) -> pd.DataFrame:
    """Return the requests of a cell, by start.

    Parameters
    ----------
    path
        samples.csv.
    lead_in_s
        Requests that started earlier than this, from the load's start, belong to the lead-in.
    timeout_ms
        The client's time-out.

    Returns
    -------
    pandas.DataFrame
        The columns of the file, and ``in_step``, ``is_error``, ``is_timeout`` (bool) and ``response_ms``: the latency,
        with every time-out at `timeout_ms`.

    Raises
    ------
    SpilloverError
        If the file is missing, has no rows, or a field of a row is absent or not what it should be.
    """
    samples = _numbers(_read(path), path)
    _reject_duplicates(samples, path)
    samples["in_step"] = samples["start_s"] >= lead_in_s
    samples["is_error"] = (samples["error"] != "") | (samples["status"] < 200) | (samples["status"] >= 400)
    samples["is_timeout"] = _is_timeout(samples, timeout_ms)
    samples["response_ms"] = samples["latency_ms"].mask(samples["is_timeout"], timeout_ms)
    return samples.sort_values("start_s", kind="stable", ignore_index=True)


def _is_timeout(samples: pd.DataFrame, timeout_ms: float) -> pd.Series:
    """No status, and the client gave up: it says so, its clock says so, or it knows no latency at all."""
    says_so = samples["error"].str.contains(r"time[d -]{0,2}out", case=False, regex=True)
    lasted = samples["latency_ms"].fillna(timeout_ms) >= timeout_ms
    return (samples["status"] == 0) & (says_so | lasted)


def _read(path: Path) -> pd.DataFrame:
    try:
        samples = pd.read_csv(io.StringIO(read_text(path)), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SpilloverError(f"{path} is not a table: {error}") from error
    absent = [name for name in COLUMNS if name not in samples.columns]
    if absent:
        raise SpilloverError(f"{path} lacks the column {', '.join(absent)}")
    if samples.empty:
        raise SpilloverError(f"{path} has no rows")
    samples = samples[list(COLUMNS)]
    short = samples.isna().any(axis=1).to_numpy()
    if short.any():
        raise SpilloverError(f"{path} row {_first(short)} is cut short")
    return samples


def _numbers(samples: pd.DataFrame, path: Path) -> pd.DataFrame:
    for name in (*REQUIRED_NUMBERS, *OPTIONAL_NUMBERS):
        values = pd.to_numeric(samples[name], errors="coerce")
        may_be_blank = (samples[name] == "") & (name in OPTIONAL_NUMBERS)
        wrong = ~np.isfinite(values) & ~may_be_blank
        if name in {"latency_ms", "processing_ms", "service_ms", "status"}:
            wrong |= values < 0
        if name == "latency_ms":
            wrong |= (samples[name] == "") & (samples["status"] != 0)
        if wrong.any():
            row = _first(wrong.to_numpy())
            got = samples[name].iloc[row - HEADER_LINES - 1]
            raise SpilloverError(f"{path} row {row}: {name} must be a number that makes sense, got {got!r}")
        samples = samples.assign(**{name: values.astype(float)})
    if (samples["origin"] == "").any():
        raise SpilloverError(f"{path} row {_first((samples['origin'] == '').to_numpy())}: origin must not be empty")
    return samples


def _reject_duplicates(samples: pd.DataFrame, path: Path) -> None:
    twice = samples["request_id"].duplicated().to_numpy()
    if twice.any():
        row = _first(twice)
        name = samples["request_id"].iloc[row - HEADER_LINES - 1]
        raise SpilloverError(f"{path} row {row}: request_id {name!r} is there twice")


def _first(wrong: np.ndarray) -> int:
    """Return the row of the file, the header counted, of the first True."""
    return int(np.argmax(wrong)) + HEADER_LINES + 1
