"""What the controllers of the standing lab use: three sites, one decision a second, a crowd at one door.

    PYTHONPATH=tests/lab python benchmarks/lab_controller.py [--seconds 60]

Processor time is that of the container's control group, memory that of its largest process. Leaves the table in
docs/lab-benchmark.md.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from crowd import Crowd
from documents import machine, replace_table
from lab_helpers import kubectl

ROOT = Path(__file__).parents[1]
NAMESPACE = "--namespace=spillover-system"
BOUND_CORES, BOUND_MB = 0.05, 120
CROWD_RPS = 20
LOOK = """
import json, pathlib, time
cpu = dict(line.split() for line in pathlib.Path("/sys/fs/cgroup/cpu.stat").read_text().splitlines())
own = dict(line.split(":", 1) for line in pathlib.Path("/proc/1/status").read_text().splitlines() if ":" in line)
print(json.dumps([time.monotonic(), int(cpu["usage_usec"]) / 1e6, int(own["VmHWM"].split()[0]) * 1024 / 1e6]))
"""


def look(pod: str) -> tuple[float, float, float]:
    """Return a pod's time, its processor time so far and the most memory it ever had: seconds, seconds, MB."""
    at_s, cpu_s, peak_mb = json.loads(
        kubectl("cloud", NAMESPACE, "exec", pod, "--container=controller", "--", "python3", "-c", LOOK)
    )
    return at_s, cpu_s, peak_mb


def main(seconds: Annotated[float, typer.Option(min=5, max=3600)] = 60.0) -> None:
    """Measure, and put the table into the document."""
    pods = kubectl("cloud", NAMESPACE, "get", "pods", "--selector=app=controller", "--output=name").split()
    holder = kubectl("cloud", NAMESPACE, "get", "lease/controller", "--output=jsonpath={.spec.holderIdentity}")
    lines = [
        f"{machine()}\n",
        "| controller | cores | most memory | bounds |",
        "|---|---:|---:|---|",
    ]
    with Crowd("edge1", CROWD_RPS):
        time.sleep(5)
        # The first look pays for a Python of its own in each pod; the second one's comes after its numbers are taken.
        before = {pod: look(pod) for pod in pods}
        settled = {pod: look(pod) for pod in pods}
        looks_s = {pod: settled[pod][1] - before[pod][1] for pod in pods}
        time.sleep(seconds)
        after = {pod: look(pod) for pod in pods}
    for pod in sorted(pods, key=lambda pod: pod.removeprefix("pod/") not in holder):
        leads = pod.removeprefix("pod/") in holder
        # Between the two looks lies the end of the first and the beginning of the second: about one look's worth.
        cores = (after[pod][1] - settled[pod][1] - looks_s[pod]) / (after[pod][0] - settled[pod][0])
        met = "met" if cores <= BOUND_CORES and after[pod][2] <= BOUND_MB else "**missed**"
        lines.append(
            f"| {'leads' if leads else 'stands by'} | {100 * cores:.1f} % of a core | {after[pod][2]:.0f} MB | {met} |"
        )
    replace_table(ROOT / "docs/lab-benchmark.md", "controller", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
