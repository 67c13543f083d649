from __future__ import annotations

import json

import pytest
import yaml

from spillover.cli import main

SCENARIO = {
    "duration_s": 60,
    "warmup_s": 10,
    "sites": {"edge1": {"capacity_rps": 12}, "edge2": {"capacity_rps": 12}},
    "links": [{"from": "edge1", "to": "edge2", "rtt_ms": 10}],
    "arrivals": {"edge1": [{"from_s": 0, "rps": 15}]},
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "scenario.yml"
    file.write_text(yaml.safe_dump(SCENARIO))
    return str(file)


def printed(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["simulate", *arguments])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_a_scenario_gives_one_object(path, capsys):
    summary = json.loads(printed(capsys, path, "--policy", "paper", "--mode", "weights", "--seed", "3"))
    assert (summary["policy"], summary["mode"], summary["seed"]) == ("paper", "weights", 3)
    assert summary["loops"] == 0
    assert summary["spilled_fraction"] > 0


def test_the_same_seed_gives_identical_bytes(path, capsys):
    outputs = [printed(capsys, path, "--policy", "sed", "--seed", seed) for seed in ("5", "5", "6")]
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--policy", "magic"], "policy must be one of"),
        (["--mode", "magic"], "mode must be one of"),
        (["--policy", "local", "--seed", "-1"], "seed"),
    ],
)
def test_what_is_unknown_ends_with_code_2_and_one_sentence(path, capsys, arguments, named):
    with pytest.raises(SystemExit) as left:
        main(["simulate", path, *arguments])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1


def test_a_bad_scenario_names_the_field_and_the_value(tmp_path, capsys):
    file = tmp_path / "bad.yml"
    file.write_text(yaml.safe_dump(SCENARIO | {"duration_s": -5}))
    with pytest.raises(SystemExit) as left:
        main(["simulate", str(file)])
    assert left.value.code == 2
    assert capsys.readouterr().err == f"error: {file}: duration_s must be above 0, got -5\n"
