from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from spillover.model import Decision, Snapshot
from spillover.simulator import scenario as scenarios

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spillover.simulator.engine import Run
    from spillover.simulator.scenario import Scenario


class Fixed:
    """A policy that always says the same, and remembers what it was shown."""

    def __init__(self, weights: Mapping[str, Mapping[str, int]], **fields: Any) -> None:
        self.weights = weights
        self.fields = fields
        self.seen: list[Snapshot] = []

    def __call__(self, snapshot: Snapshot, state: Any, *, total: int = 100) -> tuple[Decision, Any]:
        self.seen.append(snapshot)
        weights = {name: dict(self.weights.get(name, {name: total})) for name in snapshot.sites}
        values: dict[str, Any] = {
            "policy": "fixed",
            "split": {name: {to: w / sum(row.values()) for to, w in row.items()} for name, row in weights.items()},
            "weights": weights,
            "bucket_rps": dict.fromkeys(weights),
            "inflight_limit": {},
            "thresholds_rps": {},
            "grants_rps": {},
            "shed_rps": {},
            "reasons": {},
            "predicted_mean_ms": None,
        }
        return Decision(**(values | self.fields)), state


def site(capacity_rps: float, servers: int = 1, **more: Any) -> dict[str, Any]:
    return {"capacity_rps": capacity_rps, "servers": servers, **more}


def link(origin: str, peer: str, rtt_ms: float = 0.0) -> dict[str, Any]:
    return {"from": origin, "to": peer, "rtt_ms": rtt_ms}


def constant(rps: float) -> list[dict[str, float]]:
    return [{"from_s": 0, "rps": rps}]


def scenario(sites: Mapping[str, Any], arrivals: Mapping[str, Any], **more: Any) -> Scenario:
    return scenarios.from_dict({"duration_s": 100, "sites": dict(sites), "arrivals": dict(arrivals), **more})


def latencies_s(run: Run) -> np.ndarray:
    kept = run.requests[run.requests["arrival_s"] >= run.scenario.warmup_s]
    return (kept["answered_s"] - kept["arrival_s"])[kept["status"] == 1]


def interval(values: Sequence[float], level: float = 0.99) -> tuple[float, float]:
    """Confidence interval of the mean of independent values."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = float(stats.t.ppf(0.5 + level / 2, len(values) - 1)) * error
    return mean - reach, mean + reach


def even_work(capacity_rps: float, servers: int = 1, **more: Any) -> dict[str, Any]:
    """A site at which every request takes the same time."""
    return site(capacity_rps, servers, service={"distribution": "deterministic"}, **more)


def served_by(run: Run) -> dict[str, int]:
    """Requests answered, by the site that did."""
    answered = run.requests["destination"][run.requests["status"] == 1]
    return {name: int(np.count_nonzero(answered == index)) for index, name in enumerate(run.scenario.sites)}
