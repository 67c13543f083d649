"""Time and memory of cooperative's decide() by the number of sites, beside a generic solver on the same snapshots.

    python -m benchmarks.decide [--sites 10 100 1000 10000] [--limit 300] [--write docs/decide-benchmark.md]

Each size runs in a process of its own, on one core: the first call is the warm-up, the fastest of the next ones counts.
Building the snapshot, parsing it from JSON and starting Python are reported apart. The generic solver is HiGHS under
cutting planes (``spillover.optimum``), stopped after the limit.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from spillover.model import Snapshot
from spillover.optimum import random_snapshot, solve
from spillover.policies import get

PEERS = 8
REPEATS = 5
KINDS = ("ordinary", "overload")
SEED = 4


def measure(sites: int, kind: str) -> dict[str, Any]:
    """Measure decide() on one snapshot in this process."""
    rule = get("cooperative")
    text = json.dumps(as_json(random_snapshot(SEED, sites=sites, peers=PEERS, overload=kind == "overload")))
    begun = time.perf_counter()
    snapshot = Snapshot.from_dict(json.loads(text))
    parsed = time.perf_counter() - begun
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decision, state = rule(snapshot, None)
    wall, cpu, with_state = math.inf, math.inf, math.inf
    for _ in range(REPEATS):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        rule(snapshot, None)
        wall, cpu = min(wall, time.perf_counter() - begun), min(cpu, time.process_time() - begun_cpu)
        begun = time.perf_counter()
        rule(snapshot, state)
        with_state = min(with_state, time.perf_counter() - begun)
    return {
        "sites": sites,
        "kind": kind,
        "decide_s": wall,
        "decide_cpu_s": cpu,
        "decide_with_state_s": with_state,
        "parse_s": parsed,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "memory_before_mib": before / 1024,
        "mean_ms": decision.predicted_mean_ms,
        "shed_rps": math.fsum(decision.shed_rps.values()),
    }


def measure_solver(sites: int, kind: str) -> dict[str, Any]:
    """Measure the generic solver on the same snapshot in this process."""
    snapshot = random_snapshot(SEED, sites=sites, peers=PEERS, overload=kind == "overload")
    begun = time.perf_counter()
    best = solve(snapshot, tolerance=1e-3)
    spent = time.perf_counter() - begun
    return {"solver_s": spent, "optimum_ms": best.mean_ms, "least_shed_rps": math.fsum(best.shed_rps.values())}


def as_json(snapshot: Any) -> dict[str, Any]:
    """Return a snapshot as ``spillover decide`` reads it."""
    return {
        "sites": {
            site.name: {
                "demand_rps": site.demand_rps,
                "capacity_rps": site.capacity_rps,
                "servers": site.servers,
                "service_ms": site.service_ms,
            }
            for site in snapshot.sites.values()
        },
        "links": [{"from": link.origin, "to": link.peer, "rtt_ms": link.rtt_ms} for link in snapshot.links],
    }


def start_s() -> float:
    """Return how long Python takes to start and to import the policy."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "from spillover.policies import get; get('cooperative')"], check=True)
    return time.perf_counter() - begun


def child(which: str, sites: int, kind: str, limit_s: float) -> dict[str, Any]:
    """Run one measurement in a process of its own, on one core."""
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.decide", "--child", which, str(sites), kind]
    try:
        done = subprocess.run(command, env=alone, capture_output=True, text=True, timeout=limit_s, check=True)  # noqa: S603
    except subprocess.TimeoutExpired:
        return {}
    except subprocess.CalledProcessError as error:
        return {"solver_problem": error.stderr.strip().splitlines()[-1]}
    return dict(json.loads(done.stdout))


def exponent(rows: list[dict[str, Any]]) -> float:
    """Return b of time = a * sites^b, by least squares in logarithms over the sizes from 100."""
    points = [(math.log(row["sites"]), math.log(row["decide_s"])) for row in rows if row["sites"] >= 100]
    if len(points) < 2:
        return math.nan
    mx, my = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    return sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)


def table(rows: list[dict[str, Any]], limit_s: float) -> str:
    """Return the results as Markdown."""
    about = (
        f"Made by `python -m benchmarks.decide --write` ({platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}); one core, {PEERS} peers a site, the fastest of {REPEATS} calls after a "
        "warm-up. `decide` works on a snapshot that is already built; *with state* carries the last decision; "
        "*solver* is HiGHS under cutting planes to a gap of 0.1 % on the same snapshot, and *mean* and *shed* compare "
        f"the decision with what it found. Starting Python and importing the policy took {1000 * start_s():.0f} ms."
    )
    lines = [
        "# The time of a decision",
        "",
        about,
        "",
        "| load | sites | decide ms | CPU ms | with state ms | parse ms | memory MiB | solver s | mean | shed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        keys = ("decide_s", "decide_cpu_s", "decide_with_state_s", "parse_s")
        times = " | ".join(f"{1000 * row[key]:.1f}" for key in keys)
        mean = shed = ""
        solver = row.get("solver_problem", f"not finished in {limit_s:.0f} s")
        if "solver_s" in row:
            solver = f"{row['solver_s']:.2f}"
            mean = f"{row['mean_ms'] / row['optimum_ms'] - 1:+.2%}"
            shed = f"{row['shed_rps'] - row['least_shed_rps']:+.2f} of {row['least_shed_rps']:.0f} rps"
        cells = (row["kind"], row["sites"], times, f"{row['memory_mib']:.0f}", solver, mean, shed)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        lines += ["", f"Growth from 100 sites on, {kind}: time ~ sites^{exponent(own):.2f}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every size and print, and perhaps write, the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for the generic solver")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        which, sites, kind = options.child
        print(json.dumps((measure if which == "decide" else measure_solver)(int(sites), kind)))
        return
    rows = []
    for kind in KINDS:
        for sites in options.sites:
            row = child("decide", sites, kind, 600.0) | child("solver", sites, kind, options.limit)
            print(json.dumps(row), flush=True)
            rows.append(row)
    text = table(rows, options.limit)
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
