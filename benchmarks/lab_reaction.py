"""From a step of the demand to the weights in force, in the standing lab, weights mode at a period of 1 s.

    PYTHONPATH=tests/lab python benchmarks/lab_reaction.py [--steps 20] [--policy paper]

A crowd at edge1 goes from a fifth of its RPM_max to twice of it, again and again, at moments that have nothing to do
with the controller's period, and only when everything is served at home again. What is in force is read from the
gateway's own proxy, 20 times a second. The time counts from the first request of the step to the first moment at which
the weight of home is within 10 points of the one at which it settles: with the paper's rule from 100 to 50 %.
`cooperative` may send work away even when nobody is full, because another site is faster, and has then less far to go.
Leaves results/reaction.json and the table in docs/lab-benchmark.md.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Self

import httpx
import typer
from crowd import Crowd
from documents import machine, replace_table
from lab_helpers import HOST, KUBECONFIG, KUBECTL, SITES, playbook, rolled_out, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
ORIGIN = "edge1"
HIGH_S, LOW_S, READ_S = 8.0, 60.0, 0.05
SETTLED_POINTS = 10
AT_HOME = 95
"""A step begins when home has this weight again, and its end is therefore no beginning of the next one's."""

BOUND_P50_S, BOUND_MAX_S = 2.0, 3.0
HOME = f"outbound|80||{SITES[ORIGIN]['workload']}.apps.svc.cluster.local"


class Weights:
    """Reads what the gateway's proxy has in force, over and over: (monotonic seconds, weight of home)."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[float, float]] = []
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _read(self) -> None:
        while not self._stop.wait(READ_S):
            answer = self._client.get("/config_dump", params={"resource": "dynamic_route_configs"})
            self.seen.append((time.monotonic(), home_weight(answer.json())))


def home_weight(dump: dict[str, Any]) -> float:
    """Return the weight of home in per cent, by Envoy's own dump of its routes."""
    for config in dump["configs"]:
        for host in config["route_config"].get("virtual_hosts", []):
            if host["name"] != f"{HOST}:8080":
                continue
            action = host["routes"][0]["route"]
            if "weighted_clusters" not in action:
                return 100.0 if action["cluster"] == HOME else 0.0
            clusters = {one["name"]: one.get("weight", 0) for one in action["weighted_clusters"]["clusters"]}
            return 100.0 * clusters.get(HOME, 0) / sum(clusters.values())
    raise ValueError(f"the gateway has no route for {HOST}")


@contextlib.contextmanager
def admin() -> Iterator[int]:
    """Open a way to the administration port of edge1's gateway."""
    command = [
        KUBECTL, f"--kubeconfig={KUBECONFIG}", f"--context={ORIGIN}", "--namespace=istio-system", "port-forward",
        "deployment/istio-ingressgateway", ":15000",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            found = re.search(r"127\.0\.0\.1:(\d+)", said)
            if found is None:
                raise SystemExit(f"lab_reaction: kubectl port-forward must say its port, got {said!r}")
            yield int(found[1])
        finally:
            process.terminate()


def lead_by(mode: str, policy: str) -> None:
    """Let the lab be led so."""
    for name, settings in (
        ("workload", {"workload_mode": mode}),
        ("controller", {"controller_mode": mode, "controller_policy": policy}),
    ):
        ended = playbook(name, "--extra-vars", json.dumps(settings))
        if ended.returncode != 0:
            raise SystemExit(f"lab_reaction: playbooks/{name}.yml failed: {ended.stdout[-2000:]}")
    rolled_out("cloud", "spillover-system", "deployment/controller")
    time.sleep(10)  # until one of them leads and both have filled their windows


def step(weights: Weights, rng: random.Random, rpm_max: float) -> dict[str, float]:
    """Make one step and return how long it took and where it settled."""
    with Crowd(ORIGIN, rpm_max / 60 / 5):
        wait_for(lambda: weights.seen != [] and weights.seen[-1][1] > AT_HOME, timeout_s=LOW_S)
        time.sleep(1 + rng.random())
    with Crowd(ORIGIN, rpm_max / 60 * 2) as crowd:
        began_s = time.monotonic()
        time.sleep(HIGH_S)
    if crowd.errors:
        raise SystemExit(f"lab_reaction: clients saw errors: {dict(crowd.errors)}")
    seen = [(at_s - began_s, weight) for at_s, weight in weights.seen if began_s <= at_s <= began_s + HIGH_S]
    final = median(weight for at_s, weight in seen if at_s > HIGH_S - 2)
    outside = [at_s for (at_s, weight), _ in pairwise(seen) if abs(weight - final) > SETTLED_POINTS]
    first = next(at_s for at_s, weight in seen if abs(weight - final) <= SETTLED_POINTS)
    return {
        "reached_s": round(first, 2),
        "stayed_s": round(max(outside, default=0.0) + READ_S, 2),
        "final": round(final),
    }


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Return the table, a policy a line."""
    lines = [
        f"{machine()}\n",
        "| policy | steps | p50 | maximum | from then on within 10 points, maximum | home settles at | bounds |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for policy, steps in sorted(results.items()):
        reached = [one["reached_s"] for one in steps]
        met = "met" if median(reached) <= BOUND_P50_S and max(reached) <= BOUND_MAX_S else "**missed**"
        finals = [one["final"] for one in steps]
        lines.append(
            f"| {policy} | {len(steps)} | {median(reached):.2f} s | {max(reached):.2f} s"
            f" | {max(one['stayed_s'] for one in steps):.2f} s | {min(finals):.0f} to {max(finals):.0f} % | {met} |"
        )
    return "\n".join(lines) + "\n"


def main(
    steps: Annotated[int, typer.Option(min=1, max=200)] = 20,
    policy: Annotated[list[str], typer.Option(help="May be given more than once.")] = ["paper"],  # noqa: B006
) -> None:
    """Measure, and put the table into the document."""
    rng, results = random.Random(1), dict[str, list[dict[str, float]]]()
    try:
        for name in policy:
            lead_by("weights", name)
            results[name] = []
            with admin() as port, Weights(port) as weights:
                for number in range(steps):
                    results[name].append(step(weights, rng, SITES[ORIGIN]["capacity_rpm"]))
                    print(f"{name} {number + 1}/{steps}: {results[name][-1]}", file=sys.stderr, flush=True)
    finally:
        lead_by("overflow", "cooperative")
    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / "results/reaction.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    replace_table(ROOT / "docs/lab-benchmark.md", "reaction", table(results))


if __name__ == "__main__":
    typer.run(main)
