"""Simulated requests per second on one core: `python benchmarks/simulator.py`.

Each case runs once to load or compile the kernel, reported apart, and then three times; the best time counts, since
others may use the machine. Counted are all requests from the drawing of their arrivals to the end of the last one.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from spillover.simulator import scenario
from spillover.simulator.engine import simulate

LINKS = [
    {"from": origin, "to": peer, "rtt_ms": rtt}
    for origin, peer, rtt in (
        ("edge1", "edge2", 10),
        ("edge2", "edge1", 10),
        ("edge1", "cloud", 40),
        ("edge2", "cloud", 40),
    )
]
TRIO = {"edge1": 12_000, "edge2": 12_000, "cloud": 24_000}
CASES = {
    "plain: one M/M/1 site": ({"edge1": 12_000}, "fcfs", {"edge1": 9_600}, "local", "weights"),
    "one M/G/1-PS site": ({"edge1": 12_000}, "ps", {"edge1": 9_600}, "local", "weights"),
    "three sites, weights": (TRIO, "fcfs", {"edge1": 20_000, "edge2": 4_000}, "paper", "weights"),
    "three sites, overflow": (TRIO, "fcfs", {"edge1": 20_000, "edge2": 4_000}, "paper", "overflow"),
    "three sites, sed": (TRIO, "fcfs", {"edge1": 20_000, "edge2": 4_000}, "sed", "overflow"),
}
REPEATS = 3
DURATION_S = 100


def measure(name: str) -> dict[str, Any]:
    """Time one case."""
    capacities, discipline, rates, policy, mode = CASES[name]
    case = scenario.from_dict(
        {
            "duration_s": DURATION_S,
            "sites": {site: {"capacity_rps": rate, "discipline": discipline} for site, rate in capacities.items()},
            "links": [link for link in LINKS if link["from"] in capacities and link["to"] in capacities],
            "arrivals": {origin: [{"from_s": 0, "rps": rate}] for origin, rate in rates.items()},
        }
    )
    seconds, requests = [], 0
    for repeat in range(REPEATS + 1):
        begin = time.perf_counter()
        requests = len(simulate(case, policy, mode, seed=repeat).requests)
        seconds.append(time.perf_counter() - begin)
    return {
        "case": name,
        "requests": requests,
        "first_call_s": round(seconds[0], 3),
        "best_s": round(min(seconds[1:]), 3),
        "requests_per_s": round(requests / min(seconds[1:])),
    }


if __name__ == "__main__":
    print(json.dumps({"load_average": os.getloadavg(), "cases": [measure(name) for name in CASES]}, indent=2))
