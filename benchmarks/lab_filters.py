"""What the filters of overflow mode cost a request that stays at home, in the standing lab.

    PYTHONPATH=tests/lab python benchmarks/lab_filters.py [--pairs 5] [--rps 100] [--seconds 15]

Without: the gateway routes to the application by a plain VirtualService. With: the same in overflow mode, everything
kept, no limit near. Both take turns, since machines here are noisy, and each turn is a paired ratio. The controllers
are out of the way meanwhile. Leaves the table in docs/lab-benchmark.md.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated

import typer
from crowd import Crowd
from documents import machine, replace_table
from lab_helpers import SITES, kubectl, playbook, rolled_out
from telling import effective, tell

ROOT = Path(__file__).parents[1]
GATEWAY = ("--namespace=istio-system", "exec", "deployment/istio-ingressgateway", "--container=istio-proxy", "--")
CONTROLLERS = ("--namespace=spillover-system", "scale", "deployment/controller")
ENVOY = 'for of in /proc/[0-9]*; do [ "$(cat $of/comm)" != envoy ] || cat $of/stat; done'
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MODES = {"without": "weights", "with": "overflow"}


def gateway_cpu_s() -> float:
    """Return the processor time of edge1's gateway so far."""
    text = kubectl("edge1", *GATEWAY, "sh", "-c", ENVOY)
    return sum(int(ticks) for ticks in text.rpartition(")")[2].split()[11:13]) / TICKS_PER_S


def turn(mode: str, rps: float, seconds: float) -> dict[str, float]:
    """Set the mode and return median, 99th percentile and the gateway's processor time a request."""
    ended = playbook("workload", "--extra-vars", json.dumps({"workload_mode": mode}))
    if ended.returncode != 0:
        raise SystemExit(f"lab_filters: playbooks/workload.yml failed: {ended.stdout[-2000:]}")
    if mode == "overflow":
        for site in SITES:
            tell(site)
    effective()
    with Crowd("edge1", rps):
        time.sleep(3)
    before_s = gateway_cpu_s()
    with Crowd("edge1", rps) as crowd:
        time.sleep(seconds)
    used_s = gateway_cpu_s() - before_s
    if crowd.errors or set(crowd.served()) != {"edge1"}:
        raise SystemExit(f"lab_filters: not all was served at home: {dict(crowd.served())}, {dict(crowd.errors)}")
    took_ms = [1000 * (one.at_s + one.took_s - one.sent_s) for one in crowd.requests]
    return {
        "median ms": median(took_ms),
        "99th percentile ms": quantiles(took_ms, n=100)[98],
        "gateway's processor time a request, µs": 1e6 * used_s / len(took_ms),
    }


def main(
    pairs: Annotated[int, typer.Option(min=1, max=50)] = 5,
    rps: Annotated[float, typer.Option(min=1, max=500)] = 100.0,
    seconds: Annotated[float, typer.Option(min=2, max=600)] = 15.0,
) -> None:
    """Measure, and put the table into the document."""
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in MODES}
    kubectl("cloud", *CONTROLLERS, "--replicas=0")
    try:
        for pair in range(pairs):
            for name, mode in MODES.items() if pair % 2 == 0 else reversed(MODES.items()):
                turns[name].append(turn(mode, rps, seconds))
                print(f"{pair + 1}/{pairs} {name}: {turns[name][-1]}", file=sys.stderr, flush=True)
    finally:
        playbook("workload")
        kubectl("cloud", *CONTROLLERS, "--replicas=2")
        rolled_out("cloud", "spillover-system", "deployment/controller")
    lines = [
        f"{machine()} {pairs} pairs of {seconds:g} s at {rps:g} requests a second.\n",
        "| | without | with | median of the paired ratios | their range |",
        "|---|---:|---:|---:|---:|",
    ]
    for what in turns["with"][0]:
        without, within = ([one[what] for one in turns[name]] for name in ("without", "with"))
        ratios = [b / a for a, b in zip(without, within, strict=True)]
        lines.append(
            f"| {what} | {median(without):.1f} | {median(within):.1f} | {median(ratios):.2f}"
            f" | {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    replace_table(ROOT / "docs/lab-benchmark.md", "filters", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
