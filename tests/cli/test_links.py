from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from spillover.cli.links import links
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_httpserver import HTTPServer

app = typer.Typer()
app.command()(links)


@pytest.fixture
def config(tmp_path: Path, httpserver: HTTPServer) -> Path:
    httpserver.expect_request("/links/edge1").respond_with_data("ok")
    httpserver.expect_request("/links/cloud").respond_with_data("ok")
    site = {"capacity_rpm": 600, "collector_url": httpserver.url_for("").rstrip("/")}
    written = tmp_path / "config.yaml"
    written.write_text(
        json.dumps(
            {
                "sites": {"edge1": site, "cloud": site},
                "links": [
                    {"from": "edge1", "to": "cloud", "rtt_ms": 40},
                    {"from": "cloud", "to": "edge1", "rtt_ms": 40},
                ],
            }
        )
    )
    return written


def test_every_link_is_measured_in_the_order_of_the_settings(config: Path) -> None:
    result = CliRunner().invoke(app, ["--config", str(config), "--samples", "2"])
    found = json.loads(result.stdout)
    assert [(link["from"], link["to"], link["rtt_ms"], link["samples"]) for link in found] == [
        ("edge1", "cloud", 40.0, 2),
        ("cloud", "edge1", 40.0, 2),
    ]
    assert all(abs(link["measured_rtt_ms"]) < 1000 for link in found)


def test_wrong_number_of_samples_is_named(config: Path) -> None:
    with pytest.raises(SpilloverError, match="samples must be from 1 to 1000, got 0"):
        CliRunner().invoke(app, ["--config", str(config), "--samples", "0"], catch_exceptions=False)


def test_origin_without_a_door_is_named(config: Path) -> None:
    settings = json.loads(config.read_text())
    settings["sites"]["edge1"] = {"capacity_rpm": 600, "prometheus": {"url": "http://prometheus", "preset": "istio"}}
    config.write_text(json.dumps(settings))
    with pytest.raises(SpilloverError, match=r"sites.edge1.collector_url must be given to measure its links, got none"):
        CliRunner().invoke(app, ["--config", str(config)], catch_exceptions=False)
