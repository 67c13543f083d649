"""From the counters of gateway pods, each read at a time of its own, to one counter of the site. Pure.

Prometheus scrapes the pods one after another. A sum of what they had last said jumps by a whole interval of one pod's
requests whenever that pod is scraped; so a round ends when every pod has been scraped again, and between two rounds the
site's counter grows by

    (T1 - T0) * sum over pods of (C1 - C0) / (t1 - t0)

with T the oldest of the pods' times: a rate of pods that are each judged by their own time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.sources.demand import CounterSample

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PodReading:
    """The counter of one pod, and when it was scraped in Unix seconds."""

    requests_total: float
    scraped_at_s: float


class PodCounter:
    """Counts a site's requests round by round.

    A pod that began again, came or went leaves a round in which nobody can tell what was counted: the counter says that
    it is continuous only from there on. With a pod's part left out it would be too low instead, and demand that is too
    low sends spilled traffic home.
    """

    def __init__(self) -> None:
        self._last: dict[str, PodReading] = {}
        self._total = 0.0
        self._continuous_since_s = 0.0

    @property
    def pods(self) -> frozenset[str]:
        """Return the pods of the last round."""
        return frozenset(self._last)

    def add(self, readings: Mapping[str, PodReading], asked_at_s: float) -> CounterSample:
        """Take what is known of every pod and return the site's counter as of the last round.

        Parameters
        ----------
        readings
            By pod; at least one.
        asked_at_s
            Time of the answer, on the clock of the readings.

        Returns
        -------
        CounterSample
            Its total counts since this object was made; its age is that of the oldest part.
        """
        steps_s = [
            readings[pod].scraped_at_s - self._last[pod].scraped_at_s for pod in self._last.keys() & readings.keys()
        ]
        # A time that went back is another clock's: to wait until it has caught up could take for ever.
        if not steps_s or min(steps_s) != 0:
            self._end_round(readings)
        at_s = _oldest_s(self._last)
        return CounterSample(
            self._total,
            at_s,
            self._continuous_since_s,
            age_s=max(0.0, asked_at_s - at_s),
            gateways=len(self._last),
        )

    def _end_round(self, readings: Mapping[str, PodReading]) -> None:
        if readings.keys() != self._last.keys() or any(
            reading.requests_total < self._last[pod].requests_total
            or reading.scraped_at_s < self._last[pod].scraped_at_s
            for pod, reading in readings.items()
        ):
            self._continuous_since_s = _oldest_s(readings)
        else:
            rate_rps = sum(
                (reading.requests_total - self._last[pod].requests_total)
                / (reading.scraped_at_s - self._last[pod].scraped_at_s)
                for pod, reading in readings.items()
            )
            self._total += rate_rps * (_oldest_s(readings) - _oldest_s(self._last))
        self._last = dict(readings)


def _oldest_s(readings: Mapping[str, PodReading]) -> float:
    return min(reading.scraped_at_s for reading in readings.values())
