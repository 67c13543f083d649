"""Time and memory of cooperative's decide() by the number of sites, beside a generic solver on the same snapshots.

    python -m benchmarks.decide [--sites 10 100 1000 10000] [--limit 300] [--write docs/decide-benchmark.md]

Each size runs in a process of its own, on one core: the first call is the warm-up, the median of the next ones counts.
Memory is the peak of that process, with Python and the snapshot. Building the snapshot, parsing it from JSON and
starting Python are reported apart. The generic solver is HiGHS under cutting planes (``spillover.optimum``), stopped
after the limit. How near the optimum decide() comes is measured on several snapshots of 1,000 sites: they differ.
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
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from spillover.model import Snapshot
from spillover.optimum import random_snapshot, solve
from spillover.policies import get

PEERS = 8
REPEATS = 9
BOUNDS_S = {1000: 0.05, 10_000: 1.0}
BOUND_MIB = 500
GAP_SITES, GAP_SEEDS, GAP_BOUND = 1000, range(1, 11), 0.005
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
    walls, cpus, with_states, reads = [], [], [], []
    for _ in range(REPEATS):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        decision, _ = rule(snapshot, None)
        walls.append(time.perf_counter() - begun)
        cpus.append(time.process_time() - begun_cpu)
        begun = time.perf_counter()
        decision.to_dict()
        reads.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        rule(snapshot, state)
        with_states.append(time.perf_counter() - begun)
    return {
        "sites": sites,
        "kind": kind,
        "decide_s": median(walls),
        "decide_cpu_s": median(cpus),
        "decide_with_state_s": median(with_states),
        "read_s": median(reads),
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


def measure_gaps(sites: int, kind: str) -> dict[str, Any]:
    """Compare decide() with the generic solver on several snapshots in this process."""
    gaps = {}
    for seed in GAP_SEEDS:
        snapshot = random_snapshot(seed, sites=sites, peers=PEERS, overload=kind == "overload")
        best, (decision, _) = solve(snapshot, tolerance=1e-3), get("cooperative")(snapshot, None)
        demand = math.fsum(site.demand_total_rps for site in snapshot.sites.values())
        shed = math.fsum(decision.shed_rps.values()) - math.fsum(best.shed_rps.values())
        if decision.predicted_mean_ms is not None and best.mean_ms is not None:
            gaps[str(seed)] = (decision.predicted_mean_ms / best.mean_ms - 1.0, shed / demand)
    return {"kind": kind, "gaps": gaps}


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


CHILDREN = {"decide": measure, "solver": measure_solver, "gaps": measure_gaps}


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
        done = subprocess.run(command, env=alone, capture_output=True, text=True, timeout=limit_s, check=True)
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


def processor() -> str:
    """Return the processor's name, the architecture where Linux does not say."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def _verdict(kept: bool) -> str:
    return "met" if kept else "**missed**"


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """Return for each row with a bound whether its wall-clock time and its memory keep it, as a list in Markdown."""
    lines = []
    for row in rows:
        if row["sites"] in BOUNDS_S:
            bound = BOUNDS_S[row["sites"]]
            lines.append(
                f"- {row['sites']} sites, {row['kind']}: {1000 * row['decide_s']:.1f} ms of {1000 * bound:.0f} ms "
                f"{_verdict(row['decide_s'] <= bound)}; {row['memory_mib']:.0f} MiB of {BOUND_MIB} MiB "
                f"{_verdict(row['memory_mib'] <= BOUND_MIB)}."
            )
    return lines


def gap_table(gaps: list[dict[str, Any]]) -> list[str]:
    """Return as Markdown how far decide() is from the optimum, by seed, and what it sheds beyond the least."""
    about = (
        "Mean latency against the solver's (itself within 0.1 % of the optimum), and what is shed beyond the least, as "
        "a share of the demand. A mean below the optimum's goes with shedding more than the least."
    )
    lines = [
        f"## The distance from the optimum at {GAP_SITES} sites",
        "",
        about,
        "",
        "| load | seed | mean | shed | within 0.5 % |",
        "|---|---:|---:|---:|---|",
    ]
    for row in gaps:
        for seed, (mean, shed) in row["gaps"].items():
            lines.append(f"| {row['kind']} | {seed} | {mean:+.2%} | {shed:+.4%} | {_verdict(abs(mean) <= GAP_BOUND)} |")
    return lines


def table(rows: list[dict[str, Any]], gaps: list[dict[str, Any]], limit_s: float, busy: tuple[float, float]) -> str:
    """Return the results as Markdown; ``busy`` are the load averages before and after."""
    about = (
        f"Made by `python -m benchmarks.decide --write` on {datetime.now(UTC):%Y-%m-%d} ({processor()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}); one core, {PEERS} peers a site, the median of "
        f"{REPEATS} calls after a "
        "warm-up. `decide` works on a snapshot that is already built; *with state* carries the last decision; "
        "*read* is to read all of a decision, of which the reasons, weights, thresholds, grants and the order of peers "
        "are built on first sight; "
        "*solver* is HiGHS under cutting planes to a gap of 0.1 % on the same snapshot, and *mean* and *shed* compare "
        f"the decision with what it found. Starting Python and importing the policy took {1000 * start_s():.0f} ms. "
        f"The machine's load average was {busy[0]:.1f} at the start and {busy[1]:.1f} at the end: above its cores, "
        "wall-clock times hold waiting for others, and CPU times are longer than on an idle machine too."
    )
    lines = [
        "# The time of a decision",
        "",
        about,
        "",
        "| load | sites | decide ms | CPU ms | with state ms | read ms | parse ms | MiB | solver s | mean | shed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        keys = ("decide_s", "decide_cpu_s", "decide_with_state_s", "read_s", "parse_s")
        times = " | ".join(f"{1000 * row[key]:.1f}" for key in keys)
        mean = shed = ""
        solver = row.get("solver_problem", f"not finished in {limit_s:.0f} s")
        if "solver_s" in row:
            solver = f"{row['solver_s']:.2f}"
            mean = f"{row['mean_ms'] / row['optimum_ms'] - 1:+.2%}"
            shed = f"{row['shed_rps'] - row['least_shed_rps']:+.2f} of {row['least_shed_rps']:.0f} rps"
        cells = (row["kind"], row["sites"], times, f"{row['memory_mib']:.0f}", solver, mean, shed)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", *verdicts(rows)]
    for kind in KINDS:
        own = [row for row in rows if row["kind"] == kind]
        lines += ["", f"Growth from 100 sites on, {kind}: time ~ sites^{exponent(own):.2f}."]
    lines += ["", *gap_table(gaps)]
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
        print(json.dumps(CHILDREN[which](int(sites), kind)))
        return
    rows, load_before = [], os.getloadavg()[0]
    for kind in KINDS:
        for sites in options.sites:
            row = child("decide", sites, kind, 600.0) | child("solver", sites, kind, options.limit)
            print(json.dumps(row), flush=True)
            rows.append(row)
    gaps = [child("gaps", GAP_SITES, kind, 600.0) for kind in KINDS]
    text = table(rows, gaps, options.limit, (load_before, os.getloadavg()[0]))
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
