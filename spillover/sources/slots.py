"""From counts by slots of time to a counter. Pure.

A monitoring service says how many requests there were in each slot, some time after the slot has ended. The counter's
value at a slot's end is its value at the slot's beginning and the slot's count.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spillover.sources.demand import CounterSample

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that is over: its beginning and end in Unix seconds, and its requests, None where there is no value."""

    begins_s: float
    ends_s: float
    requests: float | None


class SlotCounter:
    """Turns slots, of which some are known already, into samples of a counter, one after another.

    A slot without a value is a gap: the counter says that it is continuous only from its end on. One at the end of the
    list may get its value yet, and is waited for.
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._at_s: float | None = None
        self._continuous_since_s = 0.0
        self._samples: deque[CounterSample] = deque()

    def add(self, slots: Sequence[Slot]) -> None:
        """Take slots in the order of time; of the first list only the last slot with a value counts."""
        valued = [slot for slot in slots if slot.requests is not None]
        if self._at_s is None:
            valued = valued[-1:]
        for slot in valued:
            if self._at_s is None or slot.ends_s > self._at_s:
                self._count(slot)

    def sample(self, now_s: float) -> CounterSample | None:
        """Return the next sample, or the last one again; None before the first.

        Parameters
        ----------
        now_s
            Unix seconds on the clock of the slots.
        """
        if not self._samples:
            return None
        sample = self._samples.popleft() if len(self._samples) > 1 else self._samples[0]
        return replace(sample, age_s=max(0.0, now_s - sample.sampled_at_s))

    def _count(self, slot: Slot) -> None:
        if slot.begins_s != self._at_s:
            self._continuous_since_s = slot.begins_s
            self._append(slot.begins_s)
        self._total += slot.requests or 0.0
        self._append(slot.ends_s)

    def _append(self, at_s: float) -> None:
        self._at_s = at_s
        self._samples.append(CounterSample(self._total, at_s, self._continuous_since_s))
