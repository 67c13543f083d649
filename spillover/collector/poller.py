"""Reads all gateway pods of a site at once and keeps the last complete count."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spillover.collector.counter import GatewayCounter, NamedCounter, SiteCount
from spillover.sources.fetch import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spillover.sources.envoy import GatewayStats

_MOST_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """The last complete count with its age, and what went wrong since (empty when nothing did)."""

    count: SiteCount | None
    age_s: float
    error: str


class GatewayPoller:
    """Polls on demand, never more often than asked and never twice at the same time.

    A count is complete when every known pod answered. With one pod missing the sum would be too low, and demand that
    is too low sends the spilled traffic home; so the last complete count stays, grows old, and the reader sees its age.

    Parameters
    ----------
    addresses
        Returns the pods' addresses as last resolved; it does not block.
    read
        Reads one pod within a deadline of its own, or raises SourceError.
    clock
        Monotonic seconds.
    started_unix_s
        Unix time of ``clock() == 0``: samples carry Unix time that a step of the wall clock cannot reach.
    """

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        read: Callable[[str], GatewayStats],
        *,
        clock: Callable[[], float],
        started_unix_s: float,
    ) -> None:
        self._addresses = addresses
        self._read = read
        self._clock = clock
        self._started_unix_s = started_unix_s
        self._counter = GatewayCounter()
        self._by_class, self._flows = NamedCounter(), NamedCounter()
        self._count: SiteCount | None = None
        self._counted_at_s = 0.0
        self._attempted_at_s: float | None = None
        self._error = "no gateway has been read yet"
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="gateway")

    def reading(self, max_age_s: float) -> Reading:
        """Return the count, after a new poll if the last attempt is older than ``max_age_s``."""
        with self._lock:
            if self._attempted_at_s is None or self._clock() - self._attempted_at_s >= max_age_s:
                self._poll()
            age_s = 0.0 if self._count is None else max(0.0, self._clock() - self._counted_at_s)
            return Reading(self._count, age_s, self._error)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _poll(self) -> None:
        self._attempted_at_s = self._clock()
        addresses = list(dict.fromkeys(self._addresses()))
        if not addresses:
            self._error = "the gateways' name resolves to no address"
            return
        try:
            values = list(self._pool.map(self._read, addresses))
        except SourceError as error:
            self._error = str(error)
            return
        self._counted_at_s = self._clock()
        pods = dict(zip(addresses, values, strict=True))
        readings = {address: value.requests_total for address, value in pods.items()}
        count = self._counter.add(readings, self._started_unix_s + self._counted_at_s)
        by_class = self._by_class.add({address: value.by_class for address, value in pods.items()})
        flows = self._flows.add({address: value.flows for address, value in pods.items()})
        waiting = [value.in_flight for value in values if value.in_flight is not None]
        # With one gateway's missing the sum would be too low.
        in_flight = sum(waiting) if len(waiting) == len(values) else None
        # The most: a gateway that has just begun may not have heard of the replicas yet.
        replicas = max((value.replicas for value in values if value.replicas is not None), default=None)
        self._count = replace(count, in_flight=in_flight, replicas=replicas, by_class=by_class, flows=flows)
        self._error = ""
