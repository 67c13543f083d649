from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from spillover.model import SpilloverError
from spillover.simulator import farm, scenario, sweep


@pytest.fixture
def cells():
    line = scenario.from_dict(
        {"duration_s": 20, "sites": {"a": {"capacity_rps": 10}}, "arrivals": {"a": [{"from_s": 0, "rps": 5}]}}
    )
    return [sweep.Cell({"scenario": "line", "variant": "local"}, line, "local", "weights", seed) for seed in range(3)]


@pytest.fixture
def no_dask(monkeypatch):
    def fails(*_):
        raise AssertionError("there is nothing to compute")

    monkeypatch.setattr(farm, "_client", fails)


def test_cells_are_computed_on_dask_and_gathered_in_their_order(cells, tmp_path):
    seen = []
    table = farm.run(cells, tmp_path, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert table["seed"].tolist() == [0, 1, 2]
    assert table["mean_ms"].tolist() == [sweep.compute(cell)["mean_ms"] for cell in cells]
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "results.parquet"), table)


def kept(cells, folder):
    (folder / "cells").mkdir()
    for cell in cells:
        farm.write_atomically(pd.DataFrame([sweep.compute(cell)]), folder / "cells" / f"{cell.key()}.parquet")


@pytest.mark.usefixtures("no_dask")
def test_what_is_there_is_not_computed_again(cells, tmp_path):
    kept(cells, tmp_path)
    assert len(farm.run(cells, tmp_path)) == 3


def test_a_killed_sweep_computes_only_what_is_missing(cells, tmp_path):
    kept(cells[:2], tmp_path)
    (tmp_path / "cells" / f"{cells[2].key()}.unfinished").write_bytes(b"half")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "cells").glob("*.parquet")}
    seen = []
    farm.run(cells, tmp_path, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)]
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_a_cell_that_fails_is_named_and_the_others_are_kept(cells, tmp_path):
    bad = sweep.Cell({"scenario": "line", "variant": "broken"}, cells[0].scenario, "no-such-policy", "weights", 7)
    with pytest.raises(SpilloverError, match=r"1 of 2 cells failed.*variant=broken, seed=7.*no-such-policy"):
        farm.run([cells[0], bad], tmp_path, workers=1)
    assert [file.stem for file in (tmp_path / "cells").glob("*.parquet")] == [cells[0].key()]


def test_a_scheduler_that_is_not_there_is_named(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(farm, "CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(
        SpilloverError, match=r"--scheduler must be the address of a Dask scheduler, got 'tcp://127.0.0.1:9'"
    ):
        farm.run(cells, tmp_path, scheduler="tcp://127.0.0.1:9")


def test_a_scheduler_elsewhere_is_used_by_its_address(cells, tmp_path):
    with farm._client(None, 1) as client:
        assert len(farm.run(cells, tmp_path, scheduler=client.scheduler.address)) == 3
        pids = client.run(os.getpid)
    assert os.getpid() not in pids.values()


def test_a_figure_that_some_cells_do_not_have_is_a_number():
    cells = [pd.DataFrame([{"scenario": "s", "optimum_mean_ms": value}]) for value in (120.0, None)]
    table = farm.with_numbers(pd.concat(cells, ignore_index=True))
    assert table["optimum_mean_ms"].dtype == float
    assert np.isnan(table["optimum_mean_ms"].iloc[1])
    assert table["scenario"].tolist() == ["s", "s"]
