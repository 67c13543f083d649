"""Work at several sites at once, with one deadline for all and one thread for each.

A thread that hangs (a name lookup has no timeout) keeps its lane busy and nothing else: no new work is given to it, no
other site waits for it, and no further thread is started.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """What came of one task: a value, or the error that it raised."""

    name: str
    value: T_co | None = None
    error: Exception | None = None


class Runner(Protocol):
    """What the controller needs of whoever runs its tasks."""

    def run(self, tasks: Mapping[str, Callable[[], T]], deadline_s: float) -> list[Outcome[T]]:
        """Run the tasks at once and return what has ended, also late ones of earlier calls, oldest first."""
        ...


class Lanes:
    """A daemon thread for each name.

    Parameters
    ----------
    names
        One lane each.
    clock
        Monotonic seconds.
    """

    def __init__(self, names: list[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._work: dict[str, queue.SimpleQueue[Callable[[], Any] | None]] = {
            name: queue.SimpleQueue() for name in names
        }
        self._done: queue.SimpleQueue[Outcome[Any]] = queue.SimpleQueue()
        self._busy: set[str] = set()
        for name in names:
            threading.Thread(target=self._serve, args=(name,), name=f"lane-{name}", daemon=True).start()

    def run(self, tasks: Mapping[str, Callable[[], T]], deadline_s: float) -> list[Outcome[T]]:
        """See `Runner`; a task whose lane is still busy is not started."""
        ends = self._clock() + deadline_s
        outcomes: list[Outcome[Any]] = []
        while late := self._ended(0.0):
            outcomes += late
        for name, task in tasks.items():
            if name not in self._busy:
                self._busy.add(name)
                self._work[name].put(task)
        while self._busy & tasks.keys() and (left_s := ends - self._clock()) > 0:
            outcomes += self._ended(left_s)
        return outcomes

    def close(self) -> None:
        """Let each thread end after its work; one that hangs ends when its call does."""
        for work in self._work.values():
            work.put(None)

    def _ended(self, wait_s: float) -> list[Outcome[Any]]:
        """Return the next outcome, or none within ``wait_s``."""
        try:
            outcome = self._done.get(timeout=wait_s) if wait_s > 0 else self._done.get_nowait()
        except queue.Empty:
            return []
        self._busy.discard(outcome.name)
        return [outcome]

    def _serve(self, name: str) -> None:
        while (task := self._work[name].get()) is not None:
            try:
                outcome = Outcome(name, value=task())
            except Exception as error:  # noqa: BLE001  whatever it is, it must reach the loop and not end the lane
                outcome = Outcome(name, error=error)
            self._done.put(outcome)
