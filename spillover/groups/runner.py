"""One group's controller: the loop of `spillover.controller` in a thread, with a log that feeds the status."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from spillover.controller.lanes import Lanes
from spillover.controller.loop import Controller
from spillover.controller.metrics import ControllerMetrics
from spillover.controller.modes import of as mode_of
from spillover.controller.service import readers
from spillover.controller.writer import Writer
from spillover.groups.tick import Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spillover.controller.edges import Edges
    from spillover.controller.reconcile import ClusterApi
    from spillover.groups.verdict import InForce


class GroupLoop:
    """A controller that begins when it is made, and ends some time after `stop`.

    Parameters
    ----------
    name
        Of the group, for logs and metrics.
    in_force
        What to do.
    clusters
        API server by site, for every site at which there is something to write.
    edges
        Clocks, log, chance; the metrics are the group's own.
    leads
        As for `spillover.controller.loop.Controller`.
    """

    def __init__(
        self,
        name: str,
        in_force: InForce,
        clusters: Mapping[str, ClusterApi],
        edges: Edges,
        *,
        leads: Callable[[], bool],
    ) -> None:
        self.name = name
        self.in_force = in_force
        self.registry = CollectorRegistry()
        self.tick: Tick | None = None
        self._outer = edges
        self.began_s = edges.clock()
        own = replace(edges, log=self._log, metrics=ControllerMetrics(self.registry))
        config = in_force.config
        reads, writes = Lanes(list(config.sites)), Lanes(list(clusters))
        writer = Writer(mode_of(config), config.period_s, clusters, writes, own)
        self.controller = Controller(config, readers(config), reads, writer, own, leads=leads)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(reads, writes), name=f"group-{name}", daemon=True)
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    @property
    def ended(self) -> bool:
        """Whether it does nothing any more."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Let the step under way be the last."""
        self._stop.set()

    def join(self, most_s: float) -> None:
        """Wait for its end."""
        self._thread.join(most_s)

    def _run(self, reads: Lanes, writes: Lanes) -> None:
        try:
            self.controller.run(self._stop)
        except Exception as error:  # noqa: BLE001  the other groups go on, and this one begins anew
            self._log(
                "group_failed", {"time": self._outer.wall_clock(), "error": f"an unexpected {type(error).__name__}"}
            )
        finally:
            reads.close()
            writes.close()

    def _log(self, event: str, fields: Mapping[str, Any]) -> None:
        if event == "tick":
            self.tick = Tick.of(fields, self.tick)
        self._outer.log(event, {**fields, "group": self.name})
