"""``spillover collector``."""

from __future__ import annotations

from typing import Annotated

import typer

from spillover.cli.stopping import stop_on_signals
from spillover.collector.service import CollectorSettings, run_collector
from spillover.sources.envoy import CLIENT_LISTENER, STATS_PORT


def collector(
    site: Annotated[str, typer.Option(help="Name of the site.")],
    gateways: Annotated[str, typer.Option(help="DNS name (a headless Service) or address of the gateway pods.")],
    port: Annotated[int, typer.Option(help="Port of the pods' statistics.")] = STATS_PORT,
    listen: Annotated[str, typer.Option(help="host:port of /demand, /healthz, /readyz and /metrics.")] = "0.0.0.0:8444",
    service: Annotated[
        list[str] | None, typer.Option(help="Full name of a Service of the application here; may be repeated.")
    ] = None,
    listener: Annotated[str, typer.Option(help="Connection manager of the client listener.")] = CLIENT_LISTENER,
) -> None:
    """Run until SIGTERM."""
    settings = CollectorSettings(
        site=site,
        gateways=gateways,
        listen=listen,
        services=tuple(service or ()),
        port=port,
        conn_manager_prefix=listener,
    )
    run_collector(settings, stop_on_signals())
