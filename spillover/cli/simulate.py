"""``spillover simulate``: one scenario, one policy, one seed, one JSON object."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from typing import Annotated

import typer

from spillover.simulator import scenario as scenarios
from spillover.simulator.engine import simulate as run
from spillover.simulator.summary import summarise


def simulate(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.yml", help="Sites, links, arrivals, control, events.")],
    policy: Annotated[
        str, typer.Option(help="A policy, or sed: the dispatcher that sees every queue.")
    ] = "cooperative",
    mode: Annotated[str, typer.Option(help="weights, or overflow: how the policy acts on the mesh.")] = "overflow",
    seed: Annotated[int, typer.Option(help="The same seed gives the same output.")] = 0,
) -> None:
    """Run one scenario with simulated sites and print its summary."""
    finished = run(scenarios.load(scenario), policy, mode, seed)
    typer.echo(json.dumps(summarise(finished), allow_nan=False))
