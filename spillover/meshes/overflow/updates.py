"""Whether the proxies take what they are told, by their own statistics.

A proxy that rejects an update keeps what it had. But every later update of the same kind carries the same fault and is
rejected too, so from then on nothing changes any more until the fault is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class UpdateCounts:
    """Updates of all kinds (listeners, routes, clusters) since a proxy started.

    Parameters
    ----------
    taken, rejected : int
        Those that are in force or were, and those that the proxy did not accept.
    """

    taken: int
    rejected: int


class Rejected(SpilloverError):  # noqa: N818  read as `except Rejected`
    """A proxy did not accept an update.

    Parameters
    ----------
    proxy
        Which one.
    count
        How many updates it rejected.
    """

    def __init__(self, proxy: str, count: int) -> None:
        super().__init__(f"{proxy} rejected {count} update{'s' if count > 1 else ''}")
        self.proxy = proxy


def update_counts(statistics: str) -> UpdateCounts:
    """Count in the text of Envoy's ``/stats``: lines ``NAME: NUMBER``; others are passed over."""
    counts = {"update_success": 0, "update_rejected": 0}
    for line in statistics.splitlines():
        name, _, number = line.rpartition(": ")
        kind = name.rpartition(".")[2]
        if kind in counts and number.isdecimal():
            counts[kind] += int(number)
    return UpdateCounts(counts["update_success"], counts["update_rejected"])


def watch(
    read: Callable[[], Mapping[str, UpdateCounts]],
    since: Mapping[str, UpdateCounts],
    *,
    wait_s: float,
    settle_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Mapping[str, UpdateCounts]:
    """Wait until an update has come and all of it is taken.

    Parameters
    ----------
    read
        Returns the counts by proxy.
    since
        What they were before the change. A proxy that has started since is judged from 0.
    wait_s
        How long the first part of the update may take; after that nobody was told anything new.
    settle_s
        How long to look on after it: clusters, listeners and routes come one after the other.
    clock, sleep
        Monotonic seconds, and how to let them pass.

    Returns
    -------
    mapping of str to UpdateCounts
        The counts at the end.

    Raises
    ------
    Rejected
        As soon as a proxy has rejected something since.
    """
    ends_s, settling = clock() + wait_s, False
    while True:
        counts = read()
        for proxy, now in counts.items():
            before = since.get(proxy, UpdateCounts(0, 0))
            rejected = now.rejected - (before.rejected if before.rejected <= now.rejected else 0)
            if rejected > 0:
                raise Rejected(proxy, rejected)
        if not settling and counts != since:
            settling, ends_s = True, clock() + settle_s
        if clock() >= ends_s:
            return counts
        sleep(POLL_S)
