"""Tidy long rows: one value a row, with its metric, its unit and where it comes from."""

import io
from collections.abc import Callable

import pandas as pd

from analysis.load import Cell, Run

PROVENANCE = ("experiment", "run_id", "revision", "cell", "variant", "policy", "mode", "repeat", "seed")
SAMPLE_METRICS = ("latency_ms", "response_ms", "processing_ms", "service_ms", "lateness_ms")
UNIT_OF_SUFFIX = {"ms": "ms", "rpm": "requests/min", "percent": "%"}


def samples_frame(run: Run) -> pd.DataFrame:
    """Return one row a request and metric (those that the request has), time-outs and lead-in marked."""
    return _of_cells(run, _samples)


def weights_frame(run: Run) -> pd.DataFrame:
    """Return one row a tick, origin and destination: the share of the origin's requests in per cent."""
    return _of_cells(run, lambda cell: _long(cell.ticks.weights, ["time_s", "origin", "site"], ["weight_percent"]))


def demand_frame(run: Run) -> pd.DataFrame:
    """Return one row a tick and origin: the demand as the controller knew it (no row where it did not)."""
    return _of_cells(run, lambda cell: _long(cell.ticks.demand, ["time_s", "origin"], ["demand_rpm"]))


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Return `frame` as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _samples(cell: Cell) -> pd.DataFrame:
    keys = ["request_id", "origin", "serving_site", "status", "error", "is_error", "is_timeout", "in_step", "time_s"]
    wide = cell.samples.rename(columns={"start_s": "time_s"}).astype({"status": int})
    return _long(wide, keys, list(SAMPLE_METRICS))


def _long(wide: pd.DataFrame, keys: list[str], metrics: list[str]) -> pd.DataFrame:
    rows = wide.melt(id_vars=keys, value_vars=metrics, var_name="metric", value_name="value")
    rows["value"] = rows["value"].astype(float)
    rows["unit"] = rows["metric"].map(lambda name: UNIT_OF_SUFFIX[name.rsplit("_", 1)[-1]])
    return rows.dropna(subset=["value"])


def _of_cells(run: Run, rows_of: Callable[[Cell], pd.DataFrame]) -> pd.DataFrame:
    revision = str((run.document.get("git") or {}).get("revision", ""))
    frames = []
    for cell in run.cells:
        rows = rows_of(cell)
        columns = list(rows.columns)
        rows = rows.assign(
            experiment=run.experiment,
            run_id=run.run_id,
            revision=revision,
            cell=cell.name,
            variant=cell.variant,
            policy=cell.policy,
            mode=cell.mode,
            repeat=cell.repeat,
            seed=cell.seed,
        )
        frames.append(rows[[*PROVENANCE, *columns]])
    return pd.concat(frames, ignore_index=True)
