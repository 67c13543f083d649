"""Several controllers over one fake lease and the same fake sites, which can be stopped between any two calls."""

from __future__ import annotations

import copy
from random import Random
from typing import TYPE_CHECKING, Any

from controller_fakes import ORIGINS, SITES, FakeClock, FakeSite, InlineRunner, raw_config
from prometheus_client import CollectorRegistry

from spillover.clusters import Conflict, NotFound, Unreachable
from spillover.controller.config import parse_config
from spillover.controller.edges import Edges
from spillover.controller.elector import Elector
from spillover.controller.fence import FencedCluster
from spillover.controller.leadership import Leadership, Lease
from spillover.controller.loop import Controller
from spillover.controller.metrics import ControllerMetrics
from spillover.controller.modes import of as mode_of
from spillover.controller.writer import Writer
from spillover.meshes.objects import ObjectRef, read_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LEASE = {"namespace": "spillover-system", "name": "controller"}
WALL_S = 1_790_000_000.0


class FakeLeases:
    """An API server with one lease: writes are compared with what is stored, and one that changes nothing is none."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self._version = 0

    @property
    def holder(self) -> str:
        return self.stored["spec"]["holderIdentity"] if self.stored else ""

    def get_lease(self, namespace: str, name: str) -> dict[str, Any]:
        assert {"namespace": namespace, "name": name} == LEASE
        if self.stored is None:
            raise NotFound("Lease spillover-system/controller does not exist")
        return copy.deepcopy(self.stored)

    def write_lease(self, lease: dict[str, Any]) -> dict[str, Any]:
        assert {key: lease["metadata"][key] for key in LEASE} == LEASE
        stored = self.stored["metadata"]["resourceVersion"] if self.stored else None
        if lease["metadata"].get("resourceVersion") != stored:
            raise Conflict("Lease spillover-system/controller was changed by someone else after it was read")
        if self.stored is None or self.stored["spec"] != lease["spec"]:
            self._version += 1
            self.stored = copy.deepcopy(lease)
            self.stored["metadata"]["resourceVersion"] = str(self._version)
        return copy.deepcopy(self.stored)

    def delete(self) -> None:
        self.stored = None


class Line:
    """One replica's way to one API server, which can fail, lose answers and deliver writes late."""

    def __init__(self, replica: Replica, server: Any) -> None:
        self.fault: Exception | None = None
        self.lost_answers = 0
        self.late_writes = 0
        self._replica = replica
        self._server = server

    def get_lease(self, *args: Any) -> Any:
        return self._call(lambda: self._server.get_lease(*args))

    def write_lease(self, lease: dict[str, Any]) -> Any:
        return self._write(lambda: self._server.write_lease(lease))

    def get_virtual_service(self, *args: Any) -> Any:
        return self._call(lambda: self._server.get_virtual_service(*args))

    def get_object(self, ref: ObjectRef) -> Any:
        return self._call(lambda: self._server.get_object(ref))

    def patch_virtual_service_weights(self, *args: Any, **options: Any) -> Any:
        return self._stamped(lambda: self._server.patch_virtual_service_weights(*args, **options))

    def patch_numbers(self, *args: Any) -> Any:
        return self._stamped(lambda: self._server.patch_numbers(*args))

    def raise_epoch(self, ref: ObjectRef, version: str, epoch: int) -> Any:
        return self._stamped(lambda: self._server.raise_epoch(ref, version, epoch))

    def _stamped(self, write: Callable[[], Any]) -> Any:
        """Note every write that is accepted, with the epoch of its writer at the moment when it was sent."""
        epoch, history = self._replica.leadership.epoch, self._replica.pair.history

        def noted() -> Any:
            after = write()
            what = f"{self._server.name} {after.get('kind', 'VirtualService')} {after['metadata']['name']}"
            history.append((what, epoch, read_epoch(after)))
            return after

        return self._write(noted)

    def _write(self, write: Callable[[], Any]) -> Any:
        if self.late_writes:
            self.late_writes -= 1
            self._replica.pair.under_way.append(write)
            raise Unreachable("the API server did not answer within 2 s")
        answer = self._call(write)
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unreachable("the API server did not answer within 2 s")
        return answer

    def _call(self, call: Callable[[], Any]) -> Any:
        self._replica.before_a_call()
        if self.fault is not None:
            raise self.fault
        return call()


class Replica:
    """One controller of several, with clocks of its own."""

    def __init__(self, pair: Pair, number: int) -> None:
        self.pair = pair
        self.number = number
        self.born = 0
        self.wall_offset_s = 0.0
        self.calls_to_interruption = 0
        self.interruption: Callable[[], None] = lambda: None
        self.lines: list[dict[str, Any]] = []
        self.lease_line = Line(self, pair.leases)
        self.site_lines = {name: Line(self, pair.sites[name]) for name in ORIGINS}
        self.start()

    def start(self) -> None:
        """Start a process that knows nothing."""
        self.born += 1
        config = self.pair.config
        assert config.leadership is not None
        self.metrics = ControllerMetrics(CollectorRegistry())
        edges = Edges(self.clock, self._wall_clock, self._log, self.metrics, Random(7))  # noqa: S311
        self.leadership = Leadership(f"replica{self.number}_{self.born}", config.leadership.times())
        self.elector = Elector(self.leadership, self.lease_line, LEASE["namespace"], LEASE["name"], edges)
        clusters = {name: FencedCluster(line, self.leadership, self.clock) for name, line in self.site_lines.items()}
        self.writer = Writer(mode_of(config), config.period_s, clusters, InlineRunner(), edges)
        readers = {name: site.read_demand for name, site in self.pair.sites.items()}
        self.controller = Controller(config, readers, InlineRunner(), self.writer, edges, leads=self.elector.leads)

    def clock(self) -> float:
        """Each process has a monotonic clock that began somewhere else."""
        return self.pair.clock() + 5000.0 * self.number

    @property
    def leads(self) -> bool:
        return self.leadership.leading_epoch(self.clock()) > 0

    @property
    def last_tick(self) -> dict[str, Any]:
        return [line for line in self.lines if line["event"] == "tick"][-1]

    def events(self, *names: str) -> list[tuple[str, int]]:
        return [(line["event"], line["epoch"]) for line in self.lines if line["event"] in names]

    def tick(self) -> None:
        self.controller.sample()
        self.controller.tick()

    def interrupt(self, after_calls: int, meanwhile: Callable[[], None]) -> None:
        """Stop this process at its n-th call from now, before the call leaves it, and let others act."""
        self.calls_to_interruption, self.interruption = after_calls, meanwhile

    def before_a_call(self) -> None:
        if self.calls_to_interruption:
            self.calls_to_interruption -= 1
            if not self.calls_to_interruption:
                self.interruption()

    def heal(self) -> None:
        for line in (self.lease_line, *self.site_lines.values()):
            line.fault, line.lost_answers, line.late_writes = None, 0, 0
        self.calls_to_interruption = 0

    def _wall_clock(self) -> float:
        return WALL_S + self.pair.clock() + self.wall_offset_s

    def _log(self, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append({"event": event, **copy.deepcopy(dict(fields))})


class Pair:
    """Two replicas, the lease, the sites, and what has been written there."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        self.config = parse_config(raw_config(directory, **{"leadership": LEASE, **changes}))
        self.clock = FakeClock()
        self.leases = FakeLeases()
        self.sites = {name: FakeSite(name) for name in SITES}
        self.history: list[tuple[str, int, int]] = []
        self.under_way: list[Callable[[], Any]] = []
        self.replicas = [Replica(self, number) for number in (0, 1)]

    @property
    def leaders(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.leads]

    @property
    def lease(self) -> Lease:
        return Lease.of(self.leases.get_lease(**LEASE))

    def pass_time(self, seconds: float) -> None:
        self.clock.now_s += seconds
        for site in self.sites.values():
            site.pass_time(seconds)

    def second(self, *replicas: Replica) -> None:
        """Let a second pass in which these replicas, or both, do their work."""
        self.pass_time(1.0)
        for replica in replicas or self.replicas:
            replica.elector.step()
            replica.tick()

    def seconds(self, count: int, *replicas: Replica) -> None:
        for _ in range(count):
            self.second(*replicas)

    def deliver(self) -> list[bool]:
        """Let the writes under way arrive, and say of each whether it was accepted."""
        writes, self.under_way = self.under_way, []
        return [_accepted(write) for write in writes]


def _accepted(write: Callable[[], Any]) -> bool:
    try:
        write()
    except Conflict:
        return False
    return True
