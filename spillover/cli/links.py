"""``spillover links``: what each link of the controller's settings adds to a request."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import Annotated

import typer

from spillover.controller.config import ControllerConfig, load_config
from spillover.model import SpilloverError
from spillover.sources.fetch import http_client
from spillover.sources.links import MOST_SAMPLES, measure_link

_DEADLINE_S = 5.0


def links(
    config: Annotated[Path, typer.Option(help="The controller's YAML file.")],
    samples: Annotated[int, typer.Option(help=f"Pairs of requests for each link, 1 to {MOST_SAMPLES}.")] = 20,
) -> None:
    """Measure every link, one after the other, and print them as one JSON list."""
    checked = load_config(config)
    with http_client(_DEADLINE_S) as client:
        measured = [
            measure_link(client, _door(checked, link.origin), link, samples=samples, deadline_s=_DEADLINE_S)
            for link in checked.model_links()
        ]
    typer.echo(json.dumps([link.to_dict() for link in measured], indent=2))


def _door(config: ControllerConfig, origin: str) -> str:
    """Return the address of an origin's control door, which is its collector's too."""
    url = config.sites[origin].collector_url
    if url is None:
        raise SpilloverError(f"sites.{origin}.collector_url must be given to measure its links, got none")
    return url
