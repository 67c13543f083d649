"""What the loop needs of the outside world besides sites: clocks, a log, metrics and chance, handed in as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from spillover.controller.metrics import ControllerMetrics

Log = Callable[[str, Mapping[str, Any]], None]
"""Takes an event's name and its fields; called from several threads."""


@dataclass(frozen=True, slots=True)
class Edges:
    """The outside world.

    Parameters
    ----------
    clock : callable
        Monotonic seconds: every deadline, age and delay is told by it.
    wall_clock : callable
        Unix seconds, for log lines only.
    log : callable
        Takes an event and its fields.
    metrics : ControllerMetrics
        The controller's own.
    rng : random.Random
        For the jitter.
    """

    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    log: Log
    metrics: ControllerMetrics
    rng: Random
