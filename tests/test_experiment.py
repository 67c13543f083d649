import copy

import pytest
import yaml

from spillover.experiment import Experiment, calibration_s, expand, find_cell, load_experiment
from spillover.model import SpilloverError
from spillover.validation import parse

BASE = {
    "name": "trial",
    "question": "Does it work?",
    "sites": {"edge1": {}, "edge2": {}, "cloud": {"servers": 2}},
    "links": [{"from": "edge1", "to": "edge2", "rtt_ms": 10}],
    "load": {"streams": [{"origin": "edge1", "factor": 2}], "lead_in_s": 10},
    "variants": [
        {"name": "local-60s", "policy": "local", "duration_s": 60},
        {
            "name": "paper-1s",
            "policy": "paper",
            "duration_s": 60,
            "rpm_max_factor": 0.8,
            "baseline": "local-60s",
        },
        {"name": "paper-rpm100", "policy": "paper", "duration_s": 60, "baseline": "local-60s"},
    ],
    "repeats": 3,
    "seeds": [7, 8, 9],
    "order_seed": 1,
    "setup_s": 20,
}


def experiment(**changes):
    return parse(Experiment, BASE | changes, source="trial.yml")


def with_variant(number, **changes):
    variants = copy.deepcopy(BASE["variants"])
    variants[number] |= changes
    return {"variants": variants}


def test_every_repeat_runs_every_variant_once_with_its_own_seed():
    cells = expand(experiment())
    assert len(cells) == 9
    for repeat, seed in ((1, 7), (2, 8), (3, 9)):
        block = cells[3 * (repeat - 1) : 3 * repeat]
        assert {(cell.repeat, cell.seed) for cell in block} == {(repeat, seed)}
        assert {cell.variant for cell in block} == {"local-60s", "paper-1s", "paper-rpm100"}


def test_the_order_is_drawn_from_the_recorded_seed():
    first, same = expand(experiment()), expand(experiment())
    assert first == same
    orders = {
        tuple(cell.variant for cell in expand(experiment(repeats=1, seeds=[7], order_seed=seed))) for seed in range(20)
    }
    assert len(orders) == 6


def test_a_cell_says_everything_about_itself():
    cell = next(cell for cell in expand(experiment()) if cell.variant == "paper-1s")
    number = expand(experiment()).index(cell) + 1
    assert cell.cell == f"{number:02d}-paper-1s-rpm80-seed7"
    assert cell.directory == f"cells/{cell.cell}"
    assert (cell.policy, cell.mode, cell.baseline) == ("paper", "weights", "local-60s")
    assert cell.settings == {
        "duration_s": 60,
        "window_s": 1,
        "period_s": 1,
        "rpm_max_factor": 0.8,
        "load_factor": 1.0,
        "lead_in_s": 10,
        "timeout_s": 120,
    }
    assert cell.to_dict()["settings"] == cell.settings


def test_a_cell_says_how_its_replicas_follow_the_load():
    scaled = experiment(**with_variant(0, autoscaling={"sites": ["edge1"], "target_cpu_percent": 60}))
    cells = {cell.variant: cell.to_dict()["autoscaling"] for cell in expand(scaled)}
    assert cells["local-60s"] == {"sites": ["edge1"], "min_replicas": 1, "max_replicas": 2, "target_cpu_percent": 60}
    assert cells["paper-1s"] is None


def test_a_name_that_ends_in_its_limit_is_not_given_it_twice():
    identifiers = {cell.cell[3:] for cell in expand(experiment(repeats=1, seeds=[7]))}
    assert identifiers == {"local-60s-seed7", "paper-1s-rpm80-seed7", "paper-rpm100-seed7"}


def test_the_estimate_counts_the_backlog_that_a_cell_leaves():
    estimates = {cell.variant: cell.estimated_s for cell in expand(experiment())}
    assert estimates["local-60s"] == 20 + 10 + 60 + 60
    assert estimates["paper-1s"] == 20 + 10 + 60 + 2


def test_a_load_below_the_capacity_leaves_no_backlog():
    variants = [{"name": "small", "policy": "local", "duration_s": 60, "load_factor": 0.5}]
    assert {cell.estimated_s for cell in expand(experiment(variants=variants))} == {20 + 10 + 60}


def test_no_backlog_is_waited_for_longer_than_the_clients_timeout():
    load = {"streams": [{"origin": "edge1", "factor": 10}], "timeout_s": 30, "drain_s": 40}
    assert {cell.estimated_s for cell in expand(experiment(load=load))} == {20 + 10 + 60 + 18, 20 + 10 + 60 + 30}


def test_the_calibration_is_part_of_the_budget():
    assert calibration_s(experiment(calibration={"duration_s": 10, "skip_s": 1})) == 3 * 30


def test_a_cell_is_found_by_its_name():
    read = experiment()
    cell = expand(read)[4]
    assert find_cell(read, cell.cell) == cell
    with pytest.raises(SpilloverError, match=r"^cell must be one of 01-.*, got '99'$"):
        find_cell(read, "99")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "Heavy Load"}, "name "),
        ({"variants": []}, "variants "),
        ({"seeds": [7]}, r"seeds must be 3 different numbers from 0 on, got \[7\]"),
        ({"seeds": [7, 7, 8]}, "seeds must be 3 different numbers"),
        ({"seeds": [-1, 7, 8]}, "seeds must be 3 different numbers"),
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
        ({"load": {"streams": [{"origin": "edge9", "factor": 2}]}}, "load.streams must name sites .*, got 'edge9'"),
        ({"load": BASE["load"] | {"drain_s": 5}}, r"load: drain_s must be at least timeout_s \(120\), got 5"),
        (
            {"load": {"streams": [{"origin": "edge1", "factor": -2}]}},
            "load.streams.0.factor must be at least 0",
        ),
        ({"links": [{"from": "edge1", "to": "edge1", "rtt_ms": 1}]}, "links must join two sites"),
        ({"links": [{"from": "edge1", "to": "edge3", "rtt_ms": 1}]}, "links must name sites .*, got 'edge3'"),
        ({"calibration": {"duration_s": 5, "skip_s": 5}}, r"calibration: skip_s must be below duration_s \(5\), got 5"),
        (with_variant(1, policy="papr"), "variants.paper-1s.policy must be one of local, .*paper, .*, got 'papr'"),
        (with_variant(1, mode="magic"), "variants.1.mode must be 'weights' or 'overflow', got 'magic'"),
        (with_variant(1, baseline="none"), "variants.paper-1s.baseline must name a variant, got 'none'"),
        (with_variant(2, baseline="paper-1s"), "variants.paper-rpm100.baseline must have no baseline itself"),
        (with_variant(1, duration_s=30), r"variants.paper-1s.baseline must last as long \(30 s\), got 'local-60s'"),
        (with_variant(1, load_factor=0.5), r"variants.paper-1s.baseline must have the same load_factor \(0.5\), got"),
        (with_variant(1, load_factor=0), "variants.1.load_factor must be above 0, got 0"),
        (with_variant(2, name="paper-1s"), "variants.paper-1s must be there once"),
        (with_variant(1, window_s=0), "variants.1.window_s must be above 0, got 0"),
        (with_variant(1, autoscaling={"sites": []}), "variants.1.autoscaling.sites "),
        (
            with_variant(1, autoscaling={"sites": ["edge9"]}),
            "variants.paper-1s.autoscaling.sites must name sites .*, got 'edge9'",
        ),
        (
            with_variant(1, autoscaling={"sites": ["edge1"], "min_replicas": 2}),
            r"variants.1.autoscaling: max_replicas must be above min_replicas \(2\), got 2",
        ),
        (
            with_variant(1, autoscaling={"sites": ["edge1"], "max_replicas": 11}),
            "variants.1.autoscaling.max_replicas must be at most 10, got 11",
        ),
        (
            with_variant(1, autoscaling={"sites": ["edge1"], "target_cpu_percent": 0}),
            "variants.1.autoscaling.target_cpu_percent must be at least 1, got 0",
        ),
        ({"colour": "red"}, "colour is not a known field"),
    ],
)
def test_what_is_wrong_is_named(changes, sentence):
    with pytest.raises(SpilloverError, match=rf"^trial\.yml: {sentence}"):
        experiment(**changes)


def test_a_file_is_read_and_a_bad_one_is_named(tmp_path):
    path = tmp_path / "trial.yml"
    path.write_text(yaml.safe_dump(BASE), encoding="utf-8")
    assert load_experiment(path) == experiment()
    with pytest.raises(SpilloverError, match=r"none\.yml cannot be read: No such file"):
        load_experiment(tmp_path / "none.yml")
    path.write_text("name: [", encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"trial\.yml is not YAML: ") as caught:
        load_experiment(path)
    assert "\n" not in str(caught.value)
