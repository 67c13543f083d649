"""Groups as the API server stores them, and an API server of which a test says what it does."""

from __future__ import annotations

import copy
from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any

from controller_fakes import FakeClock
from prometheus_client import CollectorRegistry

from spillover.clusters import Expired
from spillover.controller.edges import Edges
from spillover.controller.metrics import ControllerMetrics
from spillover.groups.resource import API_VERSION, KIND, Group
from spillover.groups.tick import Tick

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from spillover.meshes.objects import ObjectRef

SITES = ("edge1", "edge2", "cloud")
NOW_S = 1_790_000_000.0


def raw_spec(application: str = "shop", mode: str = "overflow", **changes: Any) -> dict[str, Any]:
    """Two edges that spill to each other and to a cloud that only takes guests."""
    sites: list[dict[str, Any]] = [
        {
            "name": name,
            "capacityRpm": 600,
            "demand": {"collectorUrl": f"http://collector.{name}.internal"},
            "access": {"kubeconfig": name},
            "service": {"namespace": "apps", "name": application, "destination": f"{application}.apps"},
            "identity": f"spiffe://{name}.lab/gateway",
        }
        for name in SITES[:2]
    ]
    sites.append({"name": "cloud", "capacityRpm": 1200, "demand": {"collectorUrl": "http://collector.cloud.internal"}})
    links = [
        {"from": origin, "to": peer, "rttMs": 10, "destination": f"{peer}.peers.internal"}
        for origin in SITES[:2]
        for peer in SITES
        if origin != peer
    ]
    return {"policy": "cooperative", "mode": mode, "sites": sites, "links": links} | changes


def stored(name: str = "shop", spec: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    metadata = {
        "namespace": "spillover-system",
        "name": name,
        "uid": f"uid-{name}",
        "generation": 1,
        "creationTimestamp": "2026-11-24T02:00:00Z",
        "resourceVersion": "1",
    }
    status = changes.pop("status", {})
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata | changes,
        "spec": raw_spec() if spec is None else spec,
        "status": status,
    }


def group(name: str = "shop", spec: dict[str, Any] | None = None, **changes: Any) -> Group:
    return Group.of(stored(name, spec, **changes))


def kubeconfigs(directory: Path) -> dict[str, Path]:
    """Return a file for each site, which exists."""
    paths = {name: directory / name for name in SITES}
    for path in paths.values():
        path.touch()
    return paths


def tick(**changes: Any) -> Tick:
    """Return what a controller says that has nothing to complain of."""
    demand = {"edge1": 1200.0, "edge2": 300.0, "cloud": 0.0}
    spilled = {"edge1": 600.0, "edge2": 0.0, "cloud": 0.0}
    values: dict[str, Any] = {
        "leading": True,
        "demand_rpm": demand,
        "spilled_rpm": spilled,
        "saturated": False,
        "overflow_supported": dict.fromkeys(SITES[:2], ""),
    }
    return Tick(**(values | changes))


class Recorder:
    """Edges whose clocks a test moves and whose log it reads."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lines: list[dict[str, Any]] = []
        self.edges = Edges(
            self.clock,
            lambda: NOW_S + self.clock.now_s - 1000.0,
            self._log,
            ControllerMetrics(CollectorRegistry()),
            Random(7),  # noqa: S311
        )

    def _log(self, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append({"event": event, **copy.deepcopy(dict(fields))})

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


class FakeApi:
    """Stored groups with a history, as a list and a watch see them; faults to switch on."""

    def __init__(self) -> None:
        self.version = 1
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[int, dict[str, Any]]] = []
        self.forgotten = 0
        self.faults: deque[Exception] = deque()
        self.garbage: deque[dict[str, Any]] = deque()
        self.lists = 0
        self.watches = 0
        self.break_after: int | None = None
        self.patches: list[tuple[ObjectRef, str, dict[str, Any]]] = []
        self.notes: list[dict[str, Any]] = []

    def put(self, obj: dict[str, Any]) -> None:
        kind = "MODIFIED" if obj["metadata"]["uid"] in self.objects else "ADDED"
        self._happened(kind, obj)
        self.objects[obj["metadata"]["uid"]] = obj

    def remove(self, uid: str) -> None:
        self._happened("DELETED", self.objects.pop(uid))

    def forget(self) -> None:
        """Let every version up to now be one that no watch can begin at, as after a compaction."""
        self.version += 1
        self.forgotten = self.version

    def _happened(self, kind: str, obj: dict[str, Any]) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, {"type": kind, "object": copy.deepcopy(obj)}))

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.popleft()

    def list_objects(self, api_version: str, plural: str, namespace: str) -> dict[str, Any]:
        assert (api_version, plural, namespace) == (API_VERSION, "spillovergroups", "spillover-system")
        self.lists += 1
        self._fail()
        items = copy.deepcopy(list(self.objects.values()))
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def watch_objects(
        self, api_version: str, plural: str, namespace: str, version: str, *, watch_s: int
    ) -> Iterator[dict[str, Any]]:
        assert (api_version, plural, namespace) == (API_VERSION, "spillovergroups", "spillover-system")
        assert watch_s > 0
        self.watches += 1
        self._fail()
        if int(version) < self.forgotten:
            raise Expired("the API server has forgotten that version")
        events = [event for at, event in self.history if at > int(version)]
        for count, event in enumerate(events):
            if self.break_after == count:
                self.break_after = None
                raise ConnectionResetError
            yield copy.deepcopy(event)
        yield from self.garbage
        self.garbage.clear()
        yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.version)}}}

    def replace_status(self, ref: ObjectRef, uid: str, status: Mapping[str, Any]) -> dict[str, Any]:
        self._fail()
        self.patches.append((ref, uid, dict(status)))
        obj = self.objects[uid]
        obj["status"] = copy.deepcopy(dict(status))
        self._happened("MODIFIED", obj)
        return copy.deepcopy(obj)

    def create_event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        self._fail()
        self.notes.append(dict(event))
        return dict(event)
