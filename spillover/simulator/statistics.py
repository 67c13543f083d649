"""Means over seeds with their confidence intervals, and comparisons of runs under the same seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and how far its confidence interval reaches to both sides (NaN for a single value)."""

    mean: float
    reach: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.reach

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.reach


def estimate(values: NDArray[np.float64], level: float = LEVEL) -> Estimate:
    """Estimate a mean from independent values by Student's t."""
    count = len(values)
    if count < 2:
        return Estimate(float(np.mean(values)) if count else float("nan"), float("nan"))
    error = float(np.std(values, ddof=1)) / count**0.5
    return Estimate(float(np.mean(values)), float(stats.t.ppf(0.5 + level / 2, count - 1)) * error)


def ratio(ours: pd.Series[float], theirs: pd.Series[float], level: float = LEVEL) -> Estimate:
    """Estimate ours over theirs, seed by seed: both are indexed by seed, and what both have is compared.

    Runs of one seed met the same arrivals and the same work, so the ratio varies far less than either of them.
    """
    return estimate(np.asarray((ours / theirs).dropna(), dtype=np.float64), level)


def verdict(compared: Estimate) -> str:
    """Say whether a ratio of latencies is a win, a loss, or a tie within its interval."""
    if compared.high < 1:
        return "win"
    return "loss" if compared.low > 1 else "tie"
