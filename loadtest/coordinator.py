"""The master's side of a run: agree on the start, collect the rows, know when they are all there."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadtest.samples import Sample, Summary, summarise
from loadtest.schedule import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from loadtest.plan import LoadPlan

START_DELAY_S = 2.0
"""From the agreement to the start: every worker must have the message and its schedule by then."""
READY_TIMEOUT_S = 60.0
REPORT_TIMEOUT_S = 20.0
"""After the hard stop, for the last rows to arrive."""


class State(enum.Enum):
    """Where a run is."""

    WAITING = enum.auto()
    RUNNING = enum.auto()
    COMPLETE = enum.auto()
    FAILED = enum.auto()


@dataclass(slots=True)
class _Report:
    """What one worker has sent so far."""

    samples: list[Sample] = field(default_factory=list)
    sent: int | None = None  # how many rows it says it sent; None until it is done
    stopped_by: str = "duration"


class Coordinator:
    """Collects the rows of `workers` workers; every method is called from the master's event loop.

    Parameters
    ----------
    plan
        What to send.
    workers
        How many workers share it.
    send
        Sends (node, order) to a worker; the order is a dict for `generator.Share`.
    clock
        Seconds since 1970, the same on all machines up to their synchronisation.
    """

    def __init__(
        self,
        plan: LoadPlan,
        workers: int,
        send: Callable[[str, dict[str, Any]], None],
        clock: Callable[[], float],
    ) -> None:
        self.state = State.WAITING
        self.failure = ""
        self._plan = plan
        self._workers = workers
        self._send = send
        self._clock = clock
        self._ready: set[str] = set()
        self._reports: dict[str, _Report] = {}
        self._planned, self._cut = draw(plan)
        self._first_tick_s: float | None = None
        self._start_at_s = 0.0

    def on_ready(self, node: str) -> None:
        """Note that a worker waits for its order; with the last of them the start is agreed."""
        self._ready.add(node)
        if self.state is not State.WAITING or len(self._ready) < self._workers:
            return
        self.state = State.RUNNING
        self._start_at_s = self._clock() + START_DELAY_S
        for number, name in enumerate(sorted(self._ready)):
            self._reports[name] = _Report()
            self._send(
                name,
                {
                    "plan": self._plan.model_dump(mode="json"),
                    "start_at_s": self._start_at_s,
                    "worker": number,
                    "workers": self._workers,
                },
            )

    def on_samples(self, node: str, rows: list[list[Any]]) -> None:
        """Keep a batch of rows."""
        if report := self._reports.get(node):
            report.samples.extend(Sample(*row) for row in rows)

    def on_done(self, node: str, *, sent: int, stopped_by: str, failure: str) -> None:
        """Note that a worker has sent its last row, or why it could not go on."""
        report = self._reports.get(node)
        if report is None or self.state is not State.RUNNING:
            return
        if failure:
            self._fail(f"worker {node} stopped: {failure}")
            return
        if len(report.samples) != sent:
            self._fail(f"worker {node} sent {sent} rows and {len(report.samples)} arrived")
            return
        report.sent = sent
        report.stopped_by = stopped_by
        if all(other.sent is not None for other in self._reports.values()):
            self.state = State.COMPLETE

    def tick(self, alive: Collection[str]) -> None:
        """Look for what never reports itself: a worker that is gone, or an end that does not come."""
        now_s = self._clock()
        self._first_tick_s = self._first_tick_s or now_s
        if self.state is State.WAITING and now_s - self._first_tick_s > READY_TIMEOUT_S:
            self._fail(f"only {len(self._ready)} of {self._workers} workers were ready after {READY_TIMEOUT_S:g} s")
        if self.state is not State.RUNNING:
            return
        gone = [name for name, report in self._reports.items() if report.sent is None and name not in alive]
        if gone:
            self._fail(f"worker {gone[0]} went away before it had reported its requests")
        elif now_s > self._start_at_s + self._plan.duration_s + self._plan.drain_s + REPORT_TIMEOUT_S:
            late = [name for name, report in self._reports.items() if report.sent is None]
            self._fail(f"worker {late[0]} did not report its requests within {REPORT_TIMEOUT_S:g} s of the hard stop")

    def results(self) -> tuple[list[Sample], Summary]:
        """Return the rows in order of time, and the summary, of a complete run."""
        samples = [sample for report in self._reports.values() for sample in report.samples]
        samples.sort(key=lambda sample: (sample.start_s, sample.request_id))
        reasons = {report.stopped_by for report in self._reports.values()} | ({"max_requests"} if self._cut else set())
        stopped_by = next(reason for reason in ("hard_stop", "max_requests", "duration") if reason in reasons)
        summary = summarise(
            samples,
            planned=len(self._planned),
            started_at_s=self._start_at_s,
            workers=self._workers,
            stopped_by=stopped_by,
        )
        return samples, summary

    def _fail(self, sentence: str) -> None:
        self.state = State.FAILED
        self.failure = sentence
