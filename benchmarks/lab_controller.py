"""What the controllers of the standing lab use: three sites, one decision a second, a crowd at one door.

    PYTHONPATH=tests/lab python benchmarks/lab_controller.py [--seconds 60]

Processor time and memory are those of the container's first process, which is the controller; looking at it is not
counted. Leaves the table in docs/lab-benchmark.md.
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
import json, os, pathlib, time
ticks = [int(number) for number in pathlib.Path("/proc/1/stat").read_text().rpartition(")")[2].split()[11:13]]
own = dict(line.split(":", 1) for line in pathlib.Path("/proc/1/status").read_text().splitlines() if ":" in line)
cpu_s = sum(ticks) / os.sysconf("SC_CLK_TCK")
print(json.dumps([time.monotonic(), cpu_s, int(own["VmHWM"].split()[0]) * 1024 / 1e6]))
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
        before = {pod: look(pod) for pod in pods}
        time.sleep(seconds)
        after = {pod: look(pod) for pod in pods}
    for pod in sorted(pods, key=lambda pod: pod.removeprefix("pod/") not in holder):
        leads = pod.removeprefix("pod/") in holder
        cores = (after[pod][1] - before[pod][1]) / (after[pod][0] - before[pod][0])
        met = "met" if cores <= BOUND_CORES and after[pod][2] <= BOUND_MB else "**missed**"
        lines.append(
            f"| {'leads' if leads else 'stands by'} | {100 * cores:.1f} % of a core | {after[pod][2]:.0f} MB | {met} |"
        )
    replace_table(ROOT / "docs/lab-benchmark.md", "controller", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
