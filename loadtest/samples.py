"""What came of it: one row a request, and a summary; written so that a reader never sees half a file."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, as a row of samples.csv.

    Parameters
    ----------
    request_id
        Number in the plan, or for closed streams ``stream.user.number``.
    origin
        Site whose ingress it entered.
    scheduled_at_s
        When it was due, in seconds from the start of the load.
    start_time_s
        When it was sent, in seconds since 1970.
    start_s
        The same in seconds from the start of the load.
    serving_site
        The answer's ``x-served-by``, empty without one.
    status
        HTTP status, 0 without an answer.
    error
        Empty for a good answer, else what went wrong.
    latency_ms
        From sending to the whole answer; a timeout counts as the timeout.
    processing_ms, service_ms
        The answer's ``x-processing-ms`` and ``x-service-ms``, None without them.
    lateness_ms
        How much later than due the generator sent it.
    """

    request_id: str
    origin: str
    scheduled_at_s: float
    start_time_s: float
    start_s: float
    serving_site: str
    status: int
    error: str
    latency_ms: float
    processing_ms: float | None
    service_ms: float | None
    lateness_ms: float

    def row(self) -> list[str | int | float | None]:
        """Values in the order of `COLUMNS`, for a message or a line."""
        return [getattr(self, name) for name in COLUMNS]


COLUMNS = tuple(field.name for field in fields(Sample))


@dataclass(frozen=True, slots=True)
class Summary:
    """load-summary.json: how the run went, apart from the answers.

    `requests` were sent, `planned` of them at times drawn beforehand; `lateness_p99_ms` is over the latter, and None if
    there were none. `stopped_by` is ``duration``, ``max_requests`` or ``hard_stop``.
    """

    requests: int
    planned: int
    errors: int
    started_at_s: float
    ended_at_s: float
    lateness_p99_ms: float | None
    workers: int
    stopped_by: str


def summarise(
    samples: Sequence[Sample], *, planned: int, started_at_s: float, workers: int, stopped_by: str
) -> Summary:
    """Summarise a run; without a request it ended when it began."""
    ends_s = [sample.start_time_s + sample.latency_ms / 1000 for sample in samples]
    lateness_ms = [sample.lateness_ms for sample in samples if "." not in sample.request_id]
    return Summary(
        requests=len(samples),
        planned=planned,
        errors=sum(sample.error != "" for sample in samples),
        started_at_s=round(started_at_s, 6),
        ended_at_s=round(max(ends_s, default=started_at_s), 6),
        lateness_p99_ms=round(float(np.percentile(lateness_ms, 99)), 3) if lateness_ms else None,
        workers=workers,
        stopped_by=stopped_by,
    )


def write_results(samples: Iterable[Sample], summary: Summary, samples_path: Path, summary_path: Path) -> None:
    """Write both files; each appears whole or not at all, and the summary last: with it the run is complete."""
    for path in (samples_path, summary_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = samples_path.with_name(samples_path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows(_rounded(sample) for sample in samples)
    partial.replace(samples_path)
    partial = summary_path.with_name(summary_path.name + ".partial")
    partial.write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    partial.replace(summary_path)


def _rounded(sample: Sample) -> list[str | int | float | None]:
    """Microseconds are as far as these clocks go."""
    digits = {name: 6 if name.endswith("_s") else 3 for name in COLUMNS}
    row = zip(COLUMNS, sample.row(), strict=True)
    return [round(value, digits[name]) if isinstance(value, float) else value for name, value in row]
