"""``spillover controller``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import Annotated

import typer

from spillover.cli.stopping import stop_on_signals
from spillover.controller.config import LeadershipConfig, load_config
from spillover.controller.log import json_log
from spillover.controller.service import run_controller
from spillover.groups.service import GroupsSettings, run_groups
from spillover.model import SpilloverError
from spillover.validation import parse


def controller(
    config: Annotated[Path | None, typer.Option(help="YAML file: policy, window, period, sites, links.")] = None,
    listen: Annotated[str, typer.Option(help="host:port of /healthz, /readyz and /metrics.")] = "0.0.0.0:8080",
    groups: Annotated[bool, typer.Option("--groups", help="Follow the SpilloverGroups instead of a file.")] = False,
    kubeconfigs: Annotated[Path | None, typer.Option(help="Directory of the kubeconfigs that groups name.")] = None,
    sources: Annotated[Path | None, typer.Option(help="Directory of the sources of demand that groups name.")] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the groups and the lease.")] = "spillover-system",
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Access to the API server with the groups; by default this pod's own.")
    ] = None,
    lease: Annotated[str, typer.Option(help="Name of the lease by which one of several leads; empty is alone.")] = "",
    lease_duration_s: Annotated[float, typer.Option(help="How long an unchanged lease is respected.")] = 6.0,
    renew_deadline_s: Annotated[float, typer.Option(help="How long a leader leads after a renewal.")] = 4.0,
    retry_period_s: Annotated[float, typer.Option(help="From one look at the lease to the next.")] = 1.0,
    working_token_s: Annotated[
        int, typer.Option(help="Life of the tokens that those of the kubeconfigs are traded for; 0 uses theirs.")
    ] = 0,
) -> None:
    """Run until SIGTERM, by a file or by the groups of a namespace; JSON lines go to standard output."""
    if groups:
        if kubeconfigs is None or config is not None:
            raise SpilloverError("--groups needs --kubeconfigs, and no --config")
        times = {
            "lease_duration_s": lease_duration_s,
            "renew_deadline_s": renew_deadline_s,
            "retry_period_s": retry_period_s,
        }
        place = {"namespace": namespace, "name": lease, "kubeconfig": kubeconfig}
        leadership = parse(LeadershipConfig, place | times, source="lease") if lease else None
        settings = GroupsSettings(namespace, kubeconfigs, sources, kubeconfig, leadership, working_token_s or None)
        run_groups(settings, listen, stop_on_signals(), json_log(sys.stdout))
        return
    if config is None:
        raise SpilloverError("--config must be given, or --groups with --kubeconfigs, got neither")
    run_controller(load_config(config), listen, stop_on_signals(), json_log(sys.stdout))
