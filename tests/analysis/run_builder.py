"""Build a run directory from a simulated queue, so that tests read what a real run would have left."""

import csv
import heapq
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

STARTED_AT_S = 1_795_000_000.0
CAPACITY_RPS = {"edge1": 12.0, "edge2": 12.0, "cloud": 24.0}
SERVERS = {"edge1": 1, "edge2": 1, "cloud": 2}
RTT_MS = {("edge1", "edge2"): 10.0, ("edge1", "cloud"): 40.0, ("edge2", "edge1"): 10.0, ("edge2", "cloud"): 40.0,
          ("cloud", "edge1"): 40.0, ("cloud", "edge2"): 40.0}  # fmt: skip
COLUMNS = ("request_id", "origin", "scheduled_at_s", "start_time_s", "start_s", "serving_site", "status", "error",
           "latency_ms", "processing_ms", "service_ms", "lateness_ms")  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """One variant to simulate."""

    variant: str
    policy: str = "local"
    baseline: str | None = None
    window_s: float = 1
    period_s: float = 1
    factor: float = 0.8
    duration_s: float = 20
    lead_in_s: float = 5
    rps: tuple[float, float] = (6, 24)  # in the lead-in, in the step
    timeout_s: float = 120
    repeats: int = 1
    extra_settings: dict = field(default_factory=dict)


HEAVY_LOAD = (
    Plan("local-20s"),
    Plan("paper-1s", "paper", "local-20s"),
    Plan("paper-1s-full", "paper", "local-20s", factor=1.0),
)


def build_run(
    root: Path, plans: tuple[Plan, ...] = HEAVY_LOAD, *, seed: int = 7, experiment: str = "heavy-load"
) -> Path:
    """Write a whole run directory below `root` and return it."""
    run_id = f"20261124T020000Z-{experiment}-seed{seed}"
    directory = root / experiment / run_id
    cells = []
    for repeat in range(1, max(plan.repeats for plan in plans) + 1):
        for plan in plans:
            if repeat <= plan.repeats:
                cells.append(_write_cell(directory, plan, repeat, seed + repeat - 1, len(cells) + 1))
    _write_json(directory / "run.json", _document(experiment, run_id, cells, seed))
    generator = np.random.default_rng(seed)
    _write_json(directory / "links.json", [
        {"from": origin, "to": peer, "rtt_ms": rtt, "measured_rtt_ms": rtt + generator.uniform(0.4, 0.9),
         "p95_rtt_ms": rtt + generator.uniform(1, 2), "samples": 50}
        for (origin, peer), rtt in RTT_MS.items()
    ])  # fmt: skip
    return directory


def edit_json(path: Path, **changes: object) -> None:
    """Change fields of a JSON object in place."""
    _write_json(path, json.loads(path.read_text()) | changes)


def edit_rows(path: Path, change) -> None:
    """Rewrite samples.csv through ``change(list of dicts) -> list of dicts``."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    _write_rows(path, change(rows))


def _document(experiment: str, run_id: str, cells: list[dict], seed: int) -> dict:
    return {
        "experiment": experiment,
        "run_id": run_id,
        "started_at": "2026-11-24T02:00:00Z",
        "ended_at": "2026-11-24T02:19:30Z",
        "git": {"revision": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "versions": {"spillover": "0.1.0", "kubernetes": "1.33.1", "istio": "1.28.0", "envoy": "1.36.2"},
        "machine": {"cpus": 2, "memory_gib": 15.6, "cpu_model": "a model of a processor"},
        "settings": {"name": experiment, "step": {"origin": "edge1", "factor": 2.0}, "repeats": 1},
        "seeds": [seed],
        "measured_capacity_rps": CAPACITY_RPS,
        "cells": cells,
    }


def _write_cell(directory: Path, plan: Plan, repeat: int, seed: int, number: int) -> dict:
    name = f"{number:02d}-{plan.variant}-seed{seed}"
    cell = directory / "cells" / name
    rows, ticks = simulate(plan, seed)
    _write_rows(cell / "samples.csv", rows)
    _write_json(cell / "load-summary.json", {
        "requests": len(rows), "started_at_s": STARTED_AT_S, "ended_at_s": STARTED_AT_S + plan.duration_s + 30,
        "lateness_p99_ms": 4.0, "workers": 2, "stopped_by": "duration", "planned": len(rows),
    })  # fmt: skip
    _write_json(cell / "cell.json", {"started_at_s": STARTED_AT_S})
    if plan.policy != "local":
        (cell / "controller.jsonl").write_text("".join(json.dumps(tick) + "\n" for tick in ticks))
    settings = {"lead_in_s": plan.lead_in_s, "duration_s": plan.duration_s, "timeout_s": plan.timeout_s}
    if plan.policy != "local":
        settings |= {"window_s": plan.window_s, "period_s": plan.period_s, "rpm_max_factor": plan.factor}
    return {
        "cell": name, "variant": plan.variant, "policy": plan.policy, "mode": "weights", "repeat": repeat, "seed": seed,
        "baseline": plan.baseline, "settings": settings | plan.extra_settings, "directory": f"cells/{name}",
    }  # fmt: skip


def simulate(plan: Plan, seed: int) -> tuple[list[dict], list[dict]]:
    """Run the arrivals at edge1 through first-come-first-served queues, the weights set by the paper's rule."""
    generator = np.random.default_rng(seed)
    arrivals = _arrivals(plan, generator)
    ticks, weights_at = _ticks(plan, arrivals)
    free = {site: [0.0] * count for site, count in SERVERS.items()}
    rows = []
    for index, start_s in enumerate(arrivals):
        weights = weights_at(start_s)
        site = str(generator.choice(list(weights), p=np.array(list(weights.values())) / 100))
        rtt_s = RTT_MS.get(("edge1", site), 0.0) / 1000
        service_s = SERVERS[site] / CAPACITY_RPS[site] * generator.gamma(16, 1 / 16)
        at_site_s = start_s + rtt_s / 2
        begun_s = max(at_site_s, heapq.heappop(free[site]))
        heapq.heappush(free[site], begun_s + service_s)
        processing_s = begun_s + service_s - at_site_s
        latency_ms = 1000 * (processing_s + rtt_s) + generator.gamma(2, 1.5)
        rows.append(_row(index, start_s, site, latency_ms, 1000 * processing_s, 1000 * service_s,
                         generator.exponential(1.2), plan.timeout_s))  # fmt: skip
    return rows, ticks


def _row(index, start_s, site, latency_ms, processing_ms, service_ms, lateness_ms, timeout_s) -> dict:
    timed_out = latency_ms > 1000 * timeout_s
    answer = ("", 0, "timeout", f"{1000 * timeout_s + 3:.3f}", "", "") if timed_out else (
        site, 200, "", f"{latency_ms:.3f}", f"{processing_ms:.3f}", f"{service_ms:.3f}")  # fmt: skip
    start = f"{start_s:.6f}"
    values = (f"r{index}", "edge1", start, f"{STARTED_AT_S + start_s:.6f}", start, *answer, f"{lateness_ms:.3f}")
    return dict(zip(COLUMNS, values, strict=True))


def _arrivals(plan: Plan, generator: np.random.Generator) -> list[float]:
    arrivals = []
    for begin_s, length_s, rps in ((0, plan.lead_in_s, plan.rps[0]), (plan.lead_in_s, plan.duration_s, plan.rps[1])):
        arrivals += list(begin_s + np.sort(generator.uniform(0, length_s, int(rps * length_s))))
    return arrivals


def _ticks(plan: Plan, arrivals: list[float]):
    times = np.array(arrivals)
    ticks = []
    weights = {"edge1": 100, "edge2": 0, "cloud": 0}
    for time_s in np.arange(plan.period_s, plan.lead_in_s + plan.duration_s + 5, plan.period_s):
        rpm = 60 / plan.window_s * float(((times > time_s - plan.window_s) & (times <= time_s)).sum())
        limit_rpm = 60 * CAPACITY_RPS["edge1"] * plan.factor
        kept = 100 if rpm < limit_rpm else round(100 * limit_rpm / rpm)
        to_edge2 = round((100 - kept) / 3)
        weights = {"edge1": kept, "edge2": to_edge2, "cloud": 100 - kept - to_edge2}
        ticks.append({"event": "tick", "time": STARTED_AT_S + time_s, "demand_rpm": {"edge1": rpm},
                      "weights": {"edge1": weights}, "written": [], "reasons": {}})  # fmt: skip

    def weights_at(time_s: float) -> dict[str, int]:
        before = [tick for tick in ticks if tick["time"] - STARTED_AT_S + 0.05 <= time_s]
        if plan.policy == "local" or not before:
            return {"edge1": 100, "edge2": 0, "cloud": 0}
        return before[-1]["weights"]["edge1"]

    return ticks, weights_at


def _write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))
