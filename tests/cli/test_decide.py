"""The contract of ``spillover decide``: one JSON object, or exit code 2 and one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from spillover.cli.decide import decide

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer()
app.command()(decide)

SNAPSHOT: dict[str, Any] = {
    "sites": {
        "edge1": {"demand_rps": 20, "capacity_rps": 12},
        "edge2": {"demand_rps": 4, "capacity_rps": 12},
        "cloud": {"capacity_rps": 24, "servers": 2},
    },
    "links": [
        {"from": "edge1", "to": "edge2", "rtt_ms": 10},
        {"from": "edge1", "to": "cloud", "rtt_ms": 40},
        {"from": "edge2", "to": "edge1", "rtt_ms": 10},
        {"from": "edge2", "to": "cloud", "rtt_ms": 40},
    ],
}
FIELDS = [
    "policy", "split", "weights", "bucket_rps", "inflight_limit", "thresholds_rps", "grants_rps", "shed_rps", "reasons",
    "predicted_mean_ms", "optimum_mean_ms",
]  # fmt: skip


def run(snapshot: object, *options: str) -> tuple[int, str, str]:
    text = snapshot if isinstance(snapshot, str) else json.dumps(snapshot)
    result = CliRunner().invoke(app, ["-", *options], input=text)
    return result.exit_code, result.stdout, result.stderr


def test_the_object_has_every_field_of_the_contract() -> None:
    code, out, _ = run(SNAPSHOT, "--policy", "paper")
    decision = json.loads(out)
    assert code == 0
    assert set(FIELDS) <= set(decision)
    assert decision["weights"]["edge1"] == {"edge1": 60, "edge2": 13, "cloud": 27}
    assert decision["predicted_mean_ms"] is None  # edge1 is at saturation
    assert decision["optimum_mean_ms"] == pytest.approx(156.4, abs=0.05)


def test_the_total_is_that_of_the_weights() -> None:
    _, out, _ = run(SNAPSHOT, "--policy", "paper", "--total", "10000")
    assert json.loads(out)["weights"]["edge1"] == {"edge1": 6000, "edge2": 1333, "cloud": 2667}


def test_a_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(SNAPSHOT))
    result = CliRunner().invoke(app, [str(path), "--policy", "local"])
    assert json.loads(result.stdout)["policy"] == "local"


def test_the_state_carries_the_previous_decision(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    _, first, _ = run(SNAPSHOT, "--policy", "paper", "--state", str(state))
    late = json.loads(json.dumps(SNAPSHOT))
    late["sites"]["edge1"] |= {"demand_rps": 0, "age_s": 60}
    _, held, _ = run(late, "--policy", "paper", "--state", str(state))
    assert json.loads(held)["weights"] == json.loads(first)["weights"]
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_the_optimum_of_many_sites_is_computed_on_request_only() -> None:
    many = {"sites": {f"s{i}": {"capacity_rps": 10, "demand_rps": 5} for i in range(51)}}
    assert json.loads(run(many, "--policy", "local")[1])["optimum_mean_ms"] is None
    assert json.loads(run(many, "--policy", "local", "--optimum")[1])["optimum_mean_ms"] == pytest.approx(200)


@pytest.mark.parametrize(
    ("snapshot", "options", "sentence"),
    [
        ("{", [], "standard input is not JSON: "),
        ("[" * 100_000, [], "standard input is not JSON: "),
        ('{"sites": {"a": {"capacity_rps": NaN}}}', [], "sites.a.capacity_rps must be finite, got nan"),
        ({"sites": {"a": {"capacity_rps": 0}}}, [], "sites.a.capacity_rps must be above 0, got 0"),
        ({"sites": {"a": {"capacity_rps": 1, "servers": 0}}}, [], "sites.a.servers must be above 0, got 0"),
        ({"sites": {"a": {}}}, [], "sites.a.capacity_rps must be given, got none"),
        (
            {"sites": {"a": {"capacity_rps": 1}}, "links": [{"from": "a", "to": "b"}]},
            [],
            "links[0].to must name a known site, got 'b'",
        ),
        (SNAPSHOT, ["--policy", "magic"], "policy must be one of local, "),
        (SNAPSHOT, ["--total", "0"], "total must be a whole number from 1 to 1000000, got 0"),
    ],
)
def test_bad_input_ends_with_2_and_one_sentence(snapshot: object, options: list[str], sentence: str) -> None:
    code, out, err = run(snapshot, *options)
    assert code == 2
    assert out == ""
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


def test_an_unreadable_file_ends_with_2_and_names_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / "none.json")])
    assert result.exit_code == 2
    assert "none.json" in result.stderr
    assert "No such file" in result.stderr


def test_a_broken_state_file_ends_with_2(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("{")
    code, _, err = run(SNAPSHOT, "--state", str(state))
    assert code == 2
    assert "state.json" in err
