from __future__ import annotations

import pytest
import yaml

from spillover.model import SpilloverError
from spillover.simulator import sweep

SCENARIO = {
    "duration_s": 30,
    "sites": {"a": {"capacity_rps": 10}, "b": {"capacity_rps": 10}},
    "links": [{"from": "a", "to": "b", "rtt_ms": 10}],
    "arrivals": {"a": [{"from_s": 0, "rps": 8}]},
}
SWEEP = {
    "scenarios": {"pair": "pair.yml"},
    "variants": [
        {"name": "paper", "policy": "paper", "mode": "weights"},
        {"name": "sed", "policy": "sed", "set": {"links.0.rtt_ms": 99}},
    ],
    "seeds": 3,
    "parameters": {"arrivals.a.0.rps": [4, 8], "control.window_s": [1, 5]},
}


@pytest.fixture
def write(tmp_path):
    def _write(**changes):
        (tmp_path / "pair.yml").write_text(yaml.safe_dump(SCENARIO))
        (tmp_path / "sweep.yml").write_text(yaml.safe_dump(SWEEP | changes))
        return tmp_path / "sweep.yml"

    return _write


def test_a_sweep_is_the_product_of_its_parts(write):
    cells = sweep.load(write())
    assert len(cells) == len({cell.key() for cell in cells}) == 2 * 2 * 2 * 3
    first = cells[0]
    assert first.labels == {"scenario": "pair", "variant": "paper", "arrivals.a.0.rps": 4, "control.window_s": 1}
    assert first.scenario.arrivals["a"][0].rps == 4
    assert cells[3].scenario.links[0].rtt_ms == 99, "a variant's own values are set"


def test_seeds_may_be_listed(write):
    assert {cell.seed for cell in sweep.load(write(seeds=[5, 9]))} == {5, 9}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scenarios": {"pair": "none.yml"}}, "cannot be read"),
        ({"variants": [{"name": "x", "policy": "magic"}]}, "variants.x.policy must be one of .* got 'magic'"),
        ({"parameters": {"arrivals.z.0.rps": [1]}}, "paths into the scenario, got 'arrivals.z.0.rps'"),
        ({"parameters": {"arrivals.a.0.rps": [-1]}}, "variant paper: arrivals.a.0.rps must be at least 0, got -1"),
        ({"parameters": {"control.magic": [1]}}, "control.magic"),
        ({"seeds": 0}, "seeds"),
        ({"more": 1}, "sweep.yml: more is not a known field, got 1"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_computed(write, changes, sentence):
    with pytest.raises(SpilloverError, match=sentence):
        sweep.load(write(**changes))


def test_the_key_changes_with_all_that_a_result_depends_on(write, monkeypatch):
    key = sweep.load(write())[0].key()
    assert sweep.load(write())[0].key() == key
    assert sweep.load(write(parameters={"arrivals.a.0.rps": [5], "control.window_s": [1]}))[0].key() != key
    monkeypatch.setattr(sweep, "sources_digest", lambda: "another")
    assert sweep.load(write())[0].key() != key


def test_the_sources_of_the_policies_are_in_the_digest(tmp_path, monkeypatch):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "paper.py").write_text("a = 1\n")
    for name in ("model.py", "weights.py"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(sweep, "PACKAGE", tmp_path)
    before = sweep.sources_digest.__wrapped__()
    (tmp_path / "policies" / "paper.py").write_text("a = 2\n")
    assert sweep.sources_digest.__wrapped__() != before


def test_what_only_reports_is_not_in_the_digest(tmp_path, monkeypatch):
    (tmp_path / "simulator").mkdir()
    for name in ("model.py", "weights.py", "simulator/kernel.py", "simulator/tables.py"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(sweep, "PACKAGE", tmp_path)
    before = sweep.sources_digest.__wrapped__()
    (tmp_path / "simulator" / "tables.py").write_text("a = 2\n")
    assert sweep.sources_digest.__wrapped__() == before
    (tmp_path / "simulator" / "kernel.py").write_text("a = 2\n")
    assert sweep.sources_digest.__wrapped__() != before


def test_a_row_has_labels_figures_and_provenance(write):
    row = sweep.compute(sweep.load(write())[0])
    assert row["scenario"] == "pair"
    assert row["arrivals.a.0.rps"] == 4
    assert row["mean_ms"] > 0
    assert row["took_s"] >= 0
    assert 0 <= row["within_slo_fraction"] <= 1
    assert row["version"]
    assert row["sources"] == sweep.sources_digest()
