"""How restless the weights of a run were."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spillover.simulator.engine import Run


def home_share_deviation(run: Run) -> float:
    """Return the standard deviation over time of the share that an origin keeps, of the most restless origin.

    From the end of the warm-up to the last arrival; 0 for weights that do not move.
    """
    return max((_deviation(run, origin) for origin in run.scenario.sites), default=0.0)


def _deviation(run: Run, origin: str) -> float:
    begin, end = run.scenario.warmup_s, run.scenario.duration_s
    written = [entry for entry in run.written if entry.origin == origin]
    if not written:
        return 0.0
    ends = [entry.at_s for entry in written[1:]] + [math.inf]
    held = [max(0.0, min(until, end) - max(entry.at_s, begin)) for entry, until in zip(written, ends, strict=True)]
    shares = [entry.weights.get(origin, 0) / sum(entry.weights.values()) for entry in written]
    mean = math.fsum(h * s for h, s in zip(held, shares, strict=True)) / (end - begin)
    return math.sqrt(math.fsum(h * (s - mean) ** 2 for h, s in zip(held, shares, strict=True)) / (end - begin))
