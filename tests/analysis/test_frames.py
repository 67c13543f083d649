import io

import pandas as pd
import pytest

from analysis import frames
from analysis.load import load_run


@pytest.fixture(scope="module")
def run(pristine_run):
    return load_run(pristine_run)


@pytest.mark.parametrize("build", [frames.samples_frame, frames.weights_frame, frames.demand_frame])
def test_rows_are_long_and_carry_unit_and_provenance(run, build):
    frame = build(run)
    assert {*frames.PROVENANCE, "metric", "value", "unit", "time_s", "origin"} <= set(frame.columns)
    assert not frame[["metric", "value", "unit", "run_id", "cell"]].isna().any().any()
    assert set(frame["revision"]) == {"0123456789abcdef0123456789abcdef01234567"}


def test_every_request_is_there_with_every_metric_it_has(run):
    frame = frames.samples_frame(run)
    latencies = frame[frame["metric"] == "latency_ms"]
    assert len(latencies) == sum(len(cell.samples) for cell in run.cells)
    assert set(frame["unit"]) == {"ms"}


def test_weights_are_per_cent_and_demand_is_rpm(run):
    weights = frames.weights_frame(run)
    assert set(weights["unit"]) == {"%"}
    assert weights.groupby(["cell", "time_s", "origin"])["value"].sum().round(6).eq(100).all()
    assert set(frames.demand_frame(run)["unit"]) == {"requests/min"}


def test_parquet_gives_back_what_was_put_in(run):
    frame = frames.samples_frame(run)
    again = pd.read_parquet(io.BytesIO(frames.to_parquet(frame)))
    pd.testing.assert_frame_equal(again, frame)
