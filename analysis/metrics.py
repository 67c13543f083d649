"""Figures of merit of a cell, and comparisons between variants. Pure functions of what `analysis.load` read.

Rules
-----
Every request sent in the step counts; those of the lead-in do not. A client's time-out is an error and counts as the
time-out's length. Any other error counts with the time that the client measured. Comparisons take medians over repeats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.load import Cell, Run

CONFIDENCE = 0.95
RESAMPLES = 1000
BOOTSTRAP_SEED = 20_211_124


@dataclass(frozen=True, slots=True)
class Merit:
    """Figures of merit of one cell; ``None`` where no request allows one.

    Parameters
    ----------
    requests, answered, errors, timeouts
        Requests sent in the step; those answered without an error; the others; those among the others that timed out.
    mean_ms, p50_ms, p99_ms
        Response time as the client saw it, time-outs included.
    mean_processing_ms, p50_processing_ms
        Time in the application, queueing included; known of answered requests only.
    throughput_rps
        Answered requests ÷ time from the step's start to the last answer.
    spilled_fraction
        Served elsewhere than at the origin ÷ answered.
    served_by
        Answered requests by serving site.
    """

    requests: int
    answered: int
    errors: int
    timeouts: int
    mean_ms: float
    p50_ms: float
    p99_ms: float
    mean_processing_ms: float | None
    p50_processing_ms: float | None
    throughput_rps: float
    spilled_fraction: float | None
    served_by: dict[str, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant against its baseline: reductions as fractions (0.963 means 96.3 % lower), medians over repeats.

    The intervals are bootstrap intervals of `CONFIDENCE`: (low, high).
    """

    variant: str
    baseline: str
    mean_reduction: float
    p50_reduction: float
    p99_reduction: float
    mean_reduction_interval: tuple[float, float]
    p50_reduction_interval: tuple[float, float]
    repeats: int
    baseline_repeats: int


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A run with its figures: merits by variant, one a repeat, and comparisons, both in the order of the run."""

    run: Run
    merits: dict[str, list[Merit]]
    comparisons: list[Comparison]


def measure(run: Run) -> Measured:
    """Return all figures of `run`."""
    merits = {variant: [merit(cell) for cell in run.repeats(variant)] for variant in run.variants}
    return Measured(run, merits, _comparisons(run, merits))


def merit(cell: Cell) -> Merit:
    """Return the figures of merit of `cell`."""
    step = cell.step
    answered = step[~step["is_error"]]
    served_by = answered.loc[answered["serving_site"] != "", "serving_site"].value_counts().sort_index()
    spilled = (answered["serving_site"] != answered["origin"]) & (answered["serving_site"] != "")
    processing_ms = answered["processing_ms"].dropna()
    return Merit(
        requests=len(step),
        answered=len(answered),
        errors=int(step["is_error"].sum()),
        timeouts=int(step["is_timeout"].sum()),
        mean_ms=float(step["response_ms"].mean()),
        p50_ms=float(step["response_ms"].median()),
        p99_ms=float(step["response_ms"].quantile(0.99)),
        mean_processing_ms=None if processing_ms.empty else float(processing_ms.mean()),
        p50_processing_ms=None if processing_ms.empty else float(processing_ms.median()),
        throughput_rps=_throughput_rps(answered, cell.lead_in_s),
        spilled_fraction=None if answered.empty else float(spilled.mean()),
        served_by={str(site): int(count) for site, count in served_by.items()},
    )


def _throughput_rps(answered: pd.DataFrame, step_starts_s: float) -> float:
    if answered.empty:
        return 0.0
    last_answer_s = float((answered["start_s"] + answered["response_ms"] / 1000).max())
    return len(answered) / max(last_answer_s - step_starts_s, 1e-9)


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that are there, None if there is none."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def middle_repeat(cells: Sequence[Cell]) -> Cell:
    """Return the repeat with the median mean response time (the lower one of two): the one that figures show."""
    by_mean = sorted(cells, key=lambda cell: float(cell.step["response_ms"].mean()))
    return by_mean[(len(by_mean) - 1) // 2]


def _comparisons(run: Run, merits: Mapping[str, Sequence[Merit]]) -> list[Comparison]:
    baselines = {variant: run.repeats(variant)[0].baseline for variant in run.variants}
    return [_compare(run, merits, variant, baseline) for variant, baseline in baselines.items() if baseline is not None]


def _compare(run: Run, merits: Mapping[str, Sequence[Merit]], variant: str, baseline: str) -> Comparison:
    ours, theirs = merits[variant], merits[baseline]

    def reduction(name: str) -> float:
        return 1 - float(
            np.median([getattr(one, name) for one in ours]) / np.median([getattr(one, name) for one in theirs])
        )

    intervals = bootstrap_intervals(
        [cell.step["response_ms"].to_numpy() for cell in run.repeats(variant)],
        [cell.step["response_ms"].to_numpy() for cell in run.repeats(baseline)],
    )
    return Comparison(
        variant=variant,
        baseline=baseline,
        mean_reduction=reduction("mean_ms"),
        p50_reduction=reduction("p50_ms"),
        p99_reduction=reduction("p99_ms"),
        mean_reduction_interval=intervals[0],
        p50_reduction_interval=intervals[1],
        repeats=len(ours),
        baseline_repeats=len(theirs),
    )


def bootstrap_intervals(
    ours_ms: Sequence[np.ndarray],
    theirs_ms: Sequence[np.ndarray],
    *,
    seed: int = BOOTSTRAP_SEED,
    resamples: int = RESAMPLES,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the percentile intervals of the mean's and the median's reduction.

    Repeats are drawn with replacement first, then the requests within each drawn repeat (a hierarchical bootstrap), so
    that the interval spans what differs between repeats; with one repeat it spans the scatter within it only.

    Parameters
    ----------
    ours_ms, theirs_ms
        One array of response times per repeat, of the variant and of its baseline.
    seed
        Of the generator: the same samples give the same interval.
    """
    generator = np.random.default_rng(seed)
    draws = np.empty((resamples, 2))
    for draw in range(resamples):
        ours, theirs = _resample(ours_ms, generator), _resample(theirs_ms, generator)
        draws[draw] = 1 - ours / theirs
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [tail, 100 - tail], axis=0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _resample(repeats_ms: Sequence[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """Return (mean, median) of one redrawn set of repeats, each the median over the repeats."""
    figures = []
    for chosen in generator.integers(len(repeats_ms), size=len(repeats_ms)):
        values = repeats_ms[chosen]
        redrawn = values[generator.integers(len(values), size=len(values))]
        figures.append((redrawn.mean(), np.median(redrawn)))
    return np.median(np.array(figures), axis=0)
