"""``spillover controller``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import Annotated

import typer

from spillover.cli.stopping import stop_on_signals
from spillover.controller.config import load_config
from spillover.controller.log import json_log
from spillover.controller.service import run_controller


def controller(
    config: Annotated[Path, typer.Option(help="YAML file: policy, window, period, sites, links.")],
    listen: Annotated[str, typer.Option(help="host:port of /healthz, /readyz and /metrics.")] = "0.0.0.0:8080",
) -> None:
    """Run until SIGTERM; JSON lines go to standard output."""
    checked = load_config(config)
    run_controller(checked, listen, stop_on_signals(), json_log(sys.stdout))
