"""From simulated requests to figures: what ``spillover simulate`` prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.simulator import references
from spillover.simulator.scenario import Users, integrated_excess
from spillover.simulator.state import NO_REQUEST, SERVED, SHED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spillover.simulator.engine import Run

    Floats = NDArray[np.float64]

SLO_MS = 500.0
"""Latency that a request should stay within, unless an experiment says otherwise."""


def summarise(run: Run) -> dict[str, Any]:
    """Summarise the requests that arrived in [warmup_s, duration_s).

    Returns
    -------
    dict
        Plain numbers and None. Latencies are those of the answered in time; ``goodput_rps`` is their rate;
        ``shed_fraction`` counts those refused by all or lost with a site, ``timeout_fraction`` those answered too late,
        ``spilled_fraction`` those answered elsewhere than at home, of all that were answered in time.
    """
    measured = measured_requests(run)
    count = len(measured)
    served = measured["status"] == SERVED
    latency_ms = 1000.0 * (measured["answered_s"] - measured["arrival_s"])
    timeout_s = run.scenario.control.timeout_s
    in_time = served if timeout_s is None else served & (latency_ms <= 1000.0 * timeout_s)
    answered = int(np.count_nonzero(in_time))
    spilled = int(np.count_nonzero(in_time & (measured["destination"] != measured["origin"])))
    times = latency_ms[in_time]
    mean_ms = _finite(float(np.mean(times))) if answered else None
    optimum_ms = references.optimum_mean_ms(run.scenario)
    return {
        "policy": run.policy,
        "mode": run.mode,
        "seed": run.seed,
        "requests": count,
        "mean_ms": mean_ms,
        **_percentiles(times),
        "goodput_rps": answered / (run.scenario.duration_s - run.scenario.warmup_s),
        "shed_fraction": float(np.count_nonzero(measured["status"] == SHED) / count) if count else None,
        "timeout_fraction": float(np.count_nonzero(served & ~in_time) / count) if count else None,
        "spilled_fraction": spilled / answered if answered else None,
        "necessary_spill_ratio": necessary_spill(run, measured) / spilled if spilled else None,
        "weight_writes": run.weight_writes,
        "loops": count_loops(run),
        "optimum_mean_ms": optimum_ms,
        "lower_bound_ms": references.lower_bound_ms(run.scenario),
        "gap": None if mean_ms is None or optimum_ms is None else mean_ms / optimum_ms - 1.0,
    }


def extras(run: Run, slo_ms: float = SLO_MS) -> dict[str, float | None]:
    """Return what a sweep records beside the summary.

    Returns
    -------
    dict
        ``within_slo_fraction`` of all measured requests, the longest latency ``max_ms`` of those served, the mean of
        those that arrived in the last minute, and ``writes_per_minute`` of the whole run.
    """
    measured = measured_requests(run)
    served = measured[measured["status"] == SERVED]
    latency_ms = 1000.0 * (served["answered_s"] - served["arrival_s"])
    last = latency_ms[served["arrival_s"] >= run.scenario.duration_s - 60.0]
    return {
        "within_slo_fraction": float(np.count_nonzero(latency_ms <= slo_ms) / len(measured)) if len(measured) else None,
        "max_ms": float(latency_ms.max()) if len(latency_ms) else None,
        "last_minute_mean_ms": float(last.mean()) if len(last) else None,
        "writes_per_minute": 60.0 * run.weight_writes / run.scenario.duration_s,
    }


def measured_requests(run: Run) -> NDArray[Any]:
    """Return the requests that count: those that arrived after the warm-up."""
    arrivals = run.requests["arrival_s"]
    return run.requests[(arrivals >= run.scenario.warmup_s) & (arrivals < run.scenario.duration_s)]


def _percentiles(times_ms: Floats) -> dict[str, float | None]:
    names = {"p50_ms": 50.0, "p99_ms": 99.0, "p999_ms": 99.9}
    if len(times_ms) == 0:
        return dict.fromkeys(names)
    values = np.percentile(times_ms, list(names.values()))
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def necessary_spill(run: Run, measured: NDArray[Any]) -> float:
    """Count the requests that no policy could serve at home: what each origin's rate has above its site's capacity.

    For users it is what actually arrived above the capacity over the whole time.
    """
    scenario = run.scenario
    measured_s = scenario.duration_s - scenario.warmup_s
    total = 0.0
    for index, (name, site) in enumerate(scenario.sites.items()):
        arrivals = scenario.arrivals.get(name)
        if isinstance(arrivals, Users):
            arrived = float(np.count_nonzero(measured["origin"] == index))
            total += max(0.0, arrived - site.capacity_rps * measured_s)
        elif arrivals is not None:
            total += integrated_excess(arrivals, site.capacity_rps, scenario.warmup_s, scenario.duration_s)
    return total


def count_loops(run: Run) -> int:
    """Count requests that a site other than their origin sent on, or that came twice to the same peer.

    Home may see a request twice: at first, and as the last resort.
    """
    senders, sites = run.path[:, :, 0], run.path[:, :, 1]
    origin = run.requests["origin"][:, None]
    sent = sites != NO_REQUEST
    looped = np.any(sent & (senders != origin), axis=1)
    for first in range(sites.shape[1]):
        for second in range(first + 1, sites.shape[1]):
            twice = sent[:, second] & (sites[:, first] == sites[:, second]) & (sites[:, second] != origin[:, 0])
            looped |= twice
    return int(np.count_nonzero(looped))
