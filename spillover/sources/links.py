"""What a link adds to a request: its time by way of the peer less its time at home, both through one gateway."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from spillover.model import SpilloverError
from spillover.sources.fetch import fetch_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from spillover.model import Link

LINKS_PATH = "/links"
MOST_SAMPLES = 1_000
_MAX_BYTES = 65_536
_SPACING_S = 0.02


@dataclass(frozen=True, slots=True)
class MeasuredLink:
    """One ordered pair of sites.

    Attributes
    ----------
    origin, peer
        Names of the sites.
    rtt_ms
        What the link is configured to add to a request, in milliseconds.
    measured_rtt_ms, p95_rtt_ms
        Median and 95th percentile of what it did add.
    samples
        Pairs of requests that were timed.
    """

    origin: str
    peer: str
    rtt_ms: float
    measured_rtt_ms: float
    p95_rtt_ms: float
    samples: int

    def to_dict(self) -> dict[str, Any]:
        """Return the object in the words of links.json: from, to, and the rest."""
        fields = asdict(self)
        return {"from": fields.pop("origin"), "to": fields.pop("peer")} | fields


def measure_link(
    client: httpx.Client,
    url: str,
    link: Link,
    *,
    samples: int,
    deadline_s: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> MeasuredLink:
    """Time ``samples`` pairs of requests, one served by the peer and one at home, right after each other.

    The difference of a pair holds the link and the peer's gateway, and not what both requests share. One pair before
    them opens the connections and is not counted.

    Parameters
    ----------
    client
        From `spillover.sources.fetch.http_client`.
    url
        Address of the origin's control door, without a path.
    link
        What to measure.
    samples
        From 1 to `MOST_SAMPLES`.
    deadline_s
        Limit in seconds for each answer.
    clock, sleep
        Monotonic seconds, and how to let the application rest between two pairs.

    Raises
    ------
    SpilloverError
        If ``samples`` is out of range.
    SourceError
        If an answer does not come.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise SpilloverError(f"samples must be from 1 to {MOST_SAMPLES}, got {samples}")

    def timed_ms(site: str) -> float:
        began = clock()
        fetch_text(client, f"{url.rstrip('/')}{LINKS_PATH}/{site}", deadline_s=deadline_s, max_bytes=_MAX_BYTES)
        return (clock() - began) * 1000.0

    extra_ms = []
    for _ in range(samples + 1):
        sleep(_SPACING_S)
        home_ms = timed_ms(link.origin)
        extra_ms.append(timed_ms(link.peer) - home_ms)
    extra_ms = sorted(extra_ms[1:])
    return MeasuredLink(
        origin=link.origin,
        peer=link.peer,
        rtt_ms=link.rtt_ms,
        measured_rtt_ms=round(statistics.median(extra_ms), 3),
        p95_rtt_ms=round(extra_ms[min(samples - 1, int(0.95 * samples))], 3),
        samples=samples,
    )
