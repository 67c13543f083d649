"""A worker's side of a run: send its share, each request in a greenlet of its own, and report the rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import AsyncResult
from gevent.pool import Group

from loadtest.plan import LoadPlan
from loadtest.samples import Sample
from loadtest.schedule import closed_budget, draw, share
from loadtest.targets import allowed_url
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.contrib.fasthttp import FastHttpSession

    from loadtest.plan import Stream

BODY = (Path(__file__).parent / "images" / "rocket.jpg").read_bytes()
ROWS_PER_MESSAGE = 500
REPORT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What the master asks of a worker: the plan, the agreed start, and which share is the worker's."""

    plan: LoadPlan
    urls: tuple[str, ...]
    start_at_s: float
    worker: int
    workers: int

    @classmethod
    def from_message(cls, data: dict[str, Any]) -> Order:
        """Read the coordinator's message; the targets are checked here too, where the requests leave.

        Raises
        ------
        SpilloverError
            If the plan is not valid or a target is outside the lab.
        """
        plan = LoadPlan.from_dict(data["plan"])
        urls = tuple(allowed_url(stream.url) for stream in plan.streams)
        return cls(plan, urls, float(data["start_at_s"]), int(data["worker"]), int(data["workers"]))


class Share:
    """Waits for the order, sends the share, reports. `report` sends (message type, data) to the master."""

    def __init__(self, report: Callable[[str, dict[str, Any]], None]) -> None:
        self._report = report
        self._order: AsyncResult[dict[str, Any]] = AsyncResult()
        self._taken = False

    def on_order(self, data: dict[str, Any]) -> None:
        """Take the master's message."""
        self._order.set(data)

    def work(self, session: FastHttpSession) -> bool:
        """Run to the end, once; return whether all rows were sent.

        When a worker is lost, Locust moves its user to another; the lost share must not be sent a second time by it.
        """
        if self._taken:
            return False
        self._taken = True
        self._report("load_ready", {})
        try:
            run = Run(Order.from_message(self._order.get()), session)
        except SpilloverError as error:
            self._report("load_done", {"sent": 0, "stopped_by": "duration", "failure": str(error)})
            return False
        main = gevent.spawn(run.until_the_end)
        sent = 0
        while not main.ready() or run.samples:
            main.join(timeout=REPORT_EVERY_S)
            while run.samples:
                batch, run.samples = run.samples[:ROWS_PER_MESSAGE], run.samples[ROWS_PER_MESSAGE:]
                self._report("load_samples", {"rows": [sample.row() for sample in batch]})
                sent += len(batch)
        failure = "" if main.successful() else f"{type(main.exception).__name__}: {main.exception}"
        self._report("load_done", {"sent": sent, "stopped_by": run.stopped_by, "failure": failure})
        return not failure


class Run:
    """One worker's requests, from the agreed start to the last answer."""

    def __init__(self, order: Order, session: FastHttpSession) -> None:
        self.samples: list[Sample] = []
        self.stopped_by = "duration"
        self._order = order
        self._session = session
        # Wall-clock time agrees between machines but may jump; from here on only the monotonic clock counts.
        self._start_s = time.perf_counter() + order.start_at_s - time.time()
        self._open = Group()

    def until_the_end(self) -> None:
        """Send everything at its time, and wait for the answers until the hard stop."""
        plan = self._order.plan
        arrivals, _ = draw(plan)
        budget = closed_budget(plan, len(arrivals), self._order.worker, self._order.workers)
        hard_stop = gevent.Timeout.start_new(self._left_s(plan.duration_s + plan.drain_s))
        try:
            self._start_users(budget)
            for arrival in share(arrivals, self._order.worker, self._order.workers):
                gevent.sleep(self._left_s(arrival.at_s))
                self._open.spawn(self._send, str(arrival.number), arrival.stream, arrival.at_s)
            self._open.join()
        except gevent.Timeout as timeout:
            if timeout is not hard_stop:
                raise
            self.stopped_by = "hard_stop"
            self._open.kill()
        finally:
            hard_stop.close()

    def _left_s(self, at_s: float) -> float:
        return max(0.0, self._start_s + at_s - time.perf_counter())

    def _start_users(self, budget: int) -> None:
        numbers = iter(range(budget))
        for index, stream in enumerate(self._order.plan.streams):
            for user in range(self._order.worker, stream.users or 0, self._order.workers):
                self._open.spawn(self._user, index, user, numbers)

    def _user(self, stream: int, user: int, numbers: Any) -> None:
        gevent.sleep(self._left_s(0.0))
        while self._left_s(self._order.plan.duration_s) > 0:
            number = next(numbers, None)
            if number is None:
                self.stopped_by = "max_requests"
                return
            self._send(f"{stream}.{user}.{number}", stream, time.perf_counter() - self._start_s)

    def _send(self, request_id: str, index: int, due_s: float) -> None:
        stream = self._order.plan.streams[index]
        timeout_s = self._order.plan.timeout_s
        began_s = time.perf_counter()
        answer = Answer(0, "hard stop", timeout_s)
        try:
            answer = post(self._session, self._order.urls[index], stream, timeout_s)
        finally:  # also when the hard stop kills this greenlet: every request that was sent has its row
            self.samples.append(
                Sample(
                    request_id=request_id,
                    origin=stream.origin,
                    scheduled_at_s=due_s,
                    start_time_s=self._order.start_at_s + began_s - self._start_s,
                    start_s=began_s - self._start_s,
                    serving_site=answer.serving_site,
                    status=answer.status,
                    error=answer.error,
                    latency_ms=answer.latency_s * 1000,
                    processing_ms=answer.processing_ms,
                    service_ms=answer.service_ms,
                    lateness_ms=max(0.0, began_s - self._start_s - due_s) * 1000,
                )
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request."""

    status: int
    error: str
    latency_s: float
    serving_site: str = ""
    processing_ms: float | None = None
    service_ms: float | None = None


def post(session: FastHttpSession, url: str, stream: Stream, timeout_s: float) -> Answer:
    """Send one photo and wait for the whole answer, `timeout_s` at most; Locust's own statistics count it too."""
    headers = {"Content-Type": "image/jpeg", "Accept-Encoding": "identity"}
    if stream.host:
        headers["Host"] = stream.host
    began_s = time.perf_counter()
    try:
        # The session turns the timeout into a failed response, as it does with any broken connection.
        with gevent.Timeout(timeout_s):
            response: Any = session.post(url + stream.path, name=stream.origin, data=BODY, headers=headers)  # type: ignore[arg-type]
        latency_s = time.perf_counter() - began_s
        error = _error(response)
    except (Exception, gevent.Timeout) as unexpected:  # noqa: BLE001 (whatever happens, the request has a row)
        return Answer(0, _cause(unexpected), min(time.perf_counter() - began_s, timeout_s))
    if latency_s >= timeout_s:
        return Answer(0, "timeout", timeout_s)
    said = response.headers or {}
    return Answer(
        int(response.status_code or 0),
        error,
        latency_s,
        str(said.get("x-served-by", "")),
        _number(said.get("x-processing-ms")),
        _number(said.get("x-service-ms")),
    )


def _error(response: Any) -> str:
    """Say what is wrong with an answer; an empty string for a good one."""
    status = int(response.status_code or 0)
    if not status:
        return _cause(getattr(response, "error", None))
    if not 200 <= status < 300:
        return f"HTTP {status}"
    declared = str((response.headers or {}).get("content-length", ""))
    return "incomplete answer" if declared.isdigit() and len(response.content or b"") < int(declared) else ""


def _cause(error: BaseException | None) -> str:
    """Name the first cause, without addresses, so that equal errors can be counted."""
    cause = getattr(error, "original", None) or error
    return str(getattr(cause, "strerror", None) or type(cause).__name__)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
