"""What a Dynatrace says of a site: its Metrics API v2, in slots of a minute. The paper's source, and a slow one.

It is asked in a thread of its own, a few times a minute: an answer may take longer than the controller waits for a
sample, and questions are rationed. Slots are stamped at their end, and the open one in the future: it is dropped by the
server's own time.
"""

from __future__ import annotations

import json
import math
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from spillover.sources.fetch import Fetched, RefusedError, Request, SourceError, fetch
from spillover.sources.slots import Slot, SlotCounter
from spillover.sources.token import read_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from spillover.sources.demand import CounterSample

QUERY_PATH = "/api/v2/metrics/query"
SLOT_S = 60.0
"""The finest resolution that the API has."""

_RESOLUTION = "1m"
_SPAN = "now-10m"
_DEADLINE_S = 15.0
"""A refusal because of too many questions may take 10 s to come."""

_MAX_BYTES = 1_000_000
_LARGEST_COUNT = 2.0**53
_TOO_MANY = 429
_LONGEST_PAUSE_S = 3600.0


@dataclass(frozen=True, slots=True)
class SlotQuery:
    """What is asked of a Dynatrace.

    Parameters
    ----------
    metric_selector : str
        Yields one series of requests in each slot.
    entity_selector : str, optional
        Of which entities.
    settle_s : float
        How long ago a slot must have ended: until then parts of its count may still be on their way.
    """

    metric_selector: str
    entity_selector: str | None = None
    settle_s: float = 0.0

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the API's question."""
        entities = {} if self.entity_selector is None else {"entitySelector": self.entity_selector}
        return {"metricSelector": self.metric_selector, "resolution": _RESOLUTION, "from": _SPAN} | entities


class DynatraceReader:
    """Reads the requests of one site.

    Parameters
    ----------
    client
        From `spillover.sources.fetch.http_client`.
    url
        Address of the environment, without the API's path.
    query
        What to ask for.
    token_file
        API token with the scope ``metrics.read``; read anew for each question.
    poll_s
        Seconds from one question to the next.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        client: httpx.Client,
        url: str,
        query: SlotQuery,
        token_file: Path,
        *,
        poll_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = url.rstrip("/") + QUERY_PATH
        self._query = query
        self._token_file = token_file
        self._poll_s = poll_s
        self._clock = clock
        self._counter = SlotCounter()
        self._clocks_apart_s = 0.0
        self._error = "it has not answered yet"
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self) -> CounterSample:
        """Return the next sample of the answers so far, at once; the first call begins to ask.

        Raises
        ------
        SourceError
            If the last answer was none, or could not be believed.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dynatrace", daemon=True)
            self._thread.start()
        return self.sample()

    def sample(self) -> CounterSample:
        """Return the next sample of the answers so far; SourceError as when called."""
        with self._lock:
            sample = None if self._error else self._counter.sample(self._clock() + self._clocks_apart_s)
            if sample is None:
                raise SourceError(f"{self._url}: {self._error}")
            return sample

    def poll(self) -> float:
        """Ask once, and return after how many seconds to ask again."""
        error, pause_s = "", self._poll_s
        try:
            now_s, slots = self._ask()
            with self._lock:
                self._clocks_apart_s = now_s - self._clock()
                self._counter.add(slots)
        except RefusedError as refused:
            error = f"it answered with status {refused.status}{_reason(refused.body)}"
            if refused.status == _TOO_MANY:
                pause_s = max(pause_s, _pause_s(refused.headers.get("retry-after")))
                error = f"{error}; it is asked again after {pause_s:g} s"
        except Exception as failed:  # noqa: BLE001  whatever it is, it must not end the thread
            error = str(failed).removeprefix(f"{self._url} ")
        with self._lock:
            self._error = error
        return pause_s

    def _run(self) -> None:
        while True:
            time.sleep(self.poll())

    def _ask(self) -> tuple[float, list[Slot]]:
        token = read_token(self._token_file)
        request = Request(query=self._query.parameters(), headers={"Authorization": f"Api-Token {token}"})
        try:
            answer = fetch(self._client, self._url, request, deadline_s=_DEADLINE_S, max_bytes=_MAX_BYTES)
        except RefusedError as error:
            error.body = error.body.replace(token, "***")
            raise
        now_s = server_time_s(answer)
        return now_s, parse_slots(answer.text, self._query.metric_selector, until_s=now_s - self._query.settle_s)


def server_time_s(answer: Fetched) -> float:
    """Return the server's Unix time in whole seconds; SourceError if the answer does not say it."""
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        raise SourceError(f"the answer must bear a date, got {answer.headers.get('date')!r}") from None


def parse_slots(text: str, selector: str, *, until_s: float) -> list[Slot]:
    """Return the slots that are over, in the order of time.

    Parameters
    ----------
    text
        Body of the answer.
    selector
        What was asked for, for the errors.
    until_s
        Unix time, on the server's clock, by which a slot must have ended.

    Raises
    ------
    SourceError
        If it is not one series in slots of a minute, or a value cannot be a number of requests.
    """
    try:
        answer: Any = json.loads(text)
        resolution, next_page = answer["resolution"], answer.get("nextPageKey")
        series = [entry for metric in answer["result"] for entry in metric["data"]]
        points = [pair for entry in series for pair in zip(entry["timestamps"], entry["values"], strict=True)]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise SourceError(f"the answer must be metrics in JSON, got {text[:60]!r}") from None
    if resolution != _RESOLUTION:
        raise SourceError(f"{selector} must come in slots of {_RESOLUTION}, got {str(resolution)[:20]!r}")
    if len(series) != 1 or next_page is not None:
        raise SourceError(f"{selector} must yield one series, as :splitBy() does, got {len(series)}")
    slots = [
        Slot(ends_s - SLOT_S, ends_s, _requests(value, selector))
        for ends_s, value in ((_seconds(stamp, selector), value) for stamp, value in points)
        if ends_s <= until_s
    ]
    if all(slot.requests is None for slot in slots):
        raise SourceError(f"{selector} must have a value in one of the last slots, got none")
    return sorted(slots, key=lambda slot: slot.ends_s)


def _seconds(stamp: Any, selector: str) -> float:
    if isinstance(stamp, bool) or not isinstance(stamp, int) or not 0 < stamp < 1e15:
        raise SourceError(f"{selector} must have times in milliseconds, got {str(stamp)[:40]!r}")
    return stamp / 1000.0


def _requests(value: Any, selector: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST_COUNT:
        raise SourceError(f"{selector} must be a finite number of 0 or more, got {str(value)[:40]}")
    return float(value)


def _reason(body: str) -> str:
    """Return what the API says is wrong."""
    try:
        return f": {' '.join(str(json.loads(body)['error']['message']).split())[:200]}"
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""


def _pause_s(retry_after: str | None) -> float:
    """Return how long the server asks to be left alone, a minute if it does not say it in seconds."""
    try:
        pause_s = float(retry_after or "")
    except ValueError:
        return SLOT_S
    return min(_LONGEST_PAUSE_S, pause_s) if math.isfinite(pause_s) and pause_s >= 0 else SLOT_S
