from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from spillover.cli import main

SCENARIO = {
    "duration_s": 20,
    "sites": {"a": {"capacity_rps": 10}},
    "arrivals": {"a": [{"from_s": 0, "rps": 5}]},
}
SWEEP = {"scenarios": {"line": "line.yml"}, "variants": [{"name": "local", "policy": "local"}], "seeds": 2}


def swept(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["sweep", *map(str, arguments)])
    return left.value.code


def test_a_sweep_leaves_one_row_a_cell_and_prints_where(tmp_path, capsys):
    (tmp_path / "line.yml").write_text(yaml.safe_dump(SCENARIO))
    (tmp_path / "sweep.yml").write_text(yaml.safe_dump(SWEEP))
    assert swept(tmp_path / "sweep.yml", "--out", tmp_path / "out", "--workers", 1) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"cells": 2, "results": str(tmp_path / "out" / "results.parquet")}
    assert pd.read_parquet(printed["results"])["seed"].tolist() == [0, 1]


def test_a_bad_sweep_ends_with_code_2_and_one_sentence(tmp_path, capsys):
    (tmp_path / "sweep.yml").write_text("scenarios: {}\n")
    assert swept(tmp_path / "sweep.yml", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
