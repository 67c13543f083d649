"""A crowd at one site's door: light requests at a steady rate, each kept with what became of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import httpx
from lab_helpers import CLIENT_PORT, HOST, SITES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_MOST_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it was due and sent, on the monotonic clock, how long it took, who served it, its error.

    It took from when it was due, so a late sender is no faster server.
    """

    at_s: float
    sent_s: float
    took_s: float
    served_by: str
    error: str


class Crowd:
    """Sends from its beginning to its end, in threads of its own.

    Parameters
    ----------
    origin
        Site at whose clients' door the requests arrive.
    rps
        How many a second.
    timeout_s
        How long a client waits.
    headers
        Sent beside the host.
    """

    def __init__(
        self, origin: str, rps: float, timeout_s: float = 10.0, headers: Mapping[str, str] | None = None
    ) -> None:
        self._url = f"http://{SITES[origin]['address']}:{CLIENT_PORT}/healthz"
        self._interval_s = 1.0 / rps
        limits = httpx.Limits(max_connections=_MOST_AT_ONCE)
        self._client = httpx.Client(
            headers={"Host": HOST} | dict(headers or {}), timeout=timeout_s, trust_env=False, limits=limits
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, name=f"crowd at {origin}")
        self.requests: list[Request] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    @property
    def errors(self) -> Counter[str]:
        """Return what went wrong so far, by kind."""
        return Counter(request.error for request in list(self.requests) if request.error)

    def served(self, since_s: float = 0.0) -> Counter[str]:
        """Return who served the requests since a moment of the monotonic clock."""
        return Counter(request.served_by for request in list(self.requests) if request.at_s >= since_s)

    def unwell_s(self) -> float:
        """Return the time from the first request that went wrong to the end of the last one; 0 when none did."""
        wrong = [request for request in self.requests if request.error]
        return max((request.at_s + request.took_s for request in wrong), default=0.0) - min(
            (request.at_s for request in wrong), default=0.0
        )

    def longest_s(self) -> float:
        """Return how long the slowest request took."""
        return max(request.took_s for request in self.requests)

    def _send(self) -> None:
        began_s, number = time.monotonic(), 0
        with ThreadPoolExecutor(_MOST_AT_ONCE) as threads:
            while not self._stop.wait(max(0.0, began_s + number * self._interval_s - time.monotonic())):
                threads.submit(self._one, began_s + number * self._interval_s)
                number += 1

    def _one(self, at_s: float) -> None:
        served_by = error = ""
        sent_s = time.monotonic()
        try:
            answer = self._client.get(self._url)
            served_by = answer.headers.get("x-served-by", "")
            if answer.status_code != 200:
                error = f"status {answer.status_code} {answer.headers.get('x-spillover-refused', '')}".strip()
        except httpx.HTTPError as failed:
            error = type(failed).__name__
        self.requests.append(Request(at_s, sent_s, time.monotonic() - at_s, served_by, error))
