"""The contract of ``spillover render``: one YAML document, or exit code 2 and one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from spillover.cli.render import render
from spillover.meshes import gateway_api

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer()
app.command()(render)

SNAPSHOT: dict[str, Any] = {
    "sites": {
        "edge1": {"demand_rps": 20, "capacity_rps": 12},
        "edge2": {"demand_rps": 4, "capacity_rps": 12},
        "cloud": {"capacity_rps": 24, "servers": 2},
    },
    "links": [
        {"from": "edge1", "to": "edge2", "rtt_ms": 10},
        {"from": "edge1", "to": "cloud", "rtt_ms": 40},
    ],
}
NEEDED = {"--mesh": "gateway-api", "--origin": "edge1", "--name": "shop", "--namespace": "site", "--host": "shop:80"}
SITES = ["edge1=shop-home:80", "edge2=edge2/shop:80", "cloud=cloud/shop:80"]


def run(changes: dict[str, str] | None = None, sites: list[str] = SITES, *more: str) -> tuple[int, str, str]:
    options = [part for pair in (NEEDED | (changes or {})).items() for part in pair]
    for site in sites:
        options += ["--destination", site]
    result = CliRunner().invoke(app, ["-", *options, "--policy", "paper", *more], input=json.dumps(SNAPSHOT))
    return result.exit_code, result.stdout, result.stderr


def test_the_manifest_has_the_weights_of_the_decision() -> None:
    code, out, _ = run()
    made = yaml.safe_load(out)
    assert code == 0
    assert (made["kind"], made["metadata"]) == ("HTTPRoute", {"name": "shop", "namespace": "site"})
    assert gateway_api.read_weights(made) == {"shop-home:80": 60, "edge2/shop:80": 13, "cloud/shop:80": 27}


def test_the_total_is_that_of_the_weights() -> None:
    _, out, _ = run({"--total": "10000"})
    assert sum(gateway_api.read_weights(yaml.safe_load(out)).values()) == 10_000


def test_a_site_that_gets_nothing_has_a_weight_of_0() -> None:
    _, out, _ = run({"--origin": "edge2"}, ["edge2=shop-home:80", "cloud=cloud/shop:80"])
    assert gateway_api.read_weights(yaml.safe_load(out)) == {"shop-home:80": 100, "cloud/shop:80": 0}


def test_the_state_carries_the_previous_decision(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    assert run({"--state": str(state)})[0] == 0
    assert state.exists()


@pytest.mark.parametrize(
    ("changes", "sites", "sentence"),
    [
        ({"--mesh": "osm"}, SITES, "mesh must be one of istio, "),
        ({"--origin": "edge9"}, SITES, "origin must be one of edge1, edge2, cloud, got 'edge9'"),
        ({}, SITES[:2], "destination must name each site that gets traffic, got none for 'cloud' (27)"),
        ({}, [*SITES, "edge9=a:80"], "destination must name one of edge1, edge2, cloud, got 'edge9'"),
        ({}, ["edge1"], "destination must have the form SITE=KEY, got 'edge1'"),
        ({}, [*SITES, "edge1=b:80"], "destination must name each site and each key once, got 'edge1=b:80' again"),
        ({}, ["edge1=a:80", "edge2=a:80"], "destination must name each site and each key once, got 'edge2=a:80' again"),
        ({}, ["edge1=shop", *SITES[1:]], "the destination must have the form [namespace/]service:port, got 'shop'"),
        ({"--name": "Shop"}, SITES, "the name must be a Kubernetes name in lower case, got 'Shop'"),
        ({"--total": "0"}, SITES, "total must be a whole number from 1 to 1000000, got 0"),
    ],
)
def test_bad_input_ends_with_2_and_one_sentence(changes: dict[str, str], sites: list[str], sentence: str) -> None:
    code, out, err = run(changes, sites)
    assert code == 2
    assert out == ""
    assert f"spillover render: {sentence}" in err
    assert len(err.strip().splitlines()) == 1
