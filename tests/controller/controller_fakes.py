"""Fake sites, clocks and threads for tests of the controller: nothing waits, nothing is random."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from spillover.clusters import Conflict, NotFound, Unreachable
from spillover.controller.config import ControllerConfig, parse_config
from spillover.controller.edges import Edges
from spillover.controller.lanes import Outcome
from spillover.controller.loop import Controller
from spillover.controller.metrics import ControllerMetrics
from spillover.controller.modes import of as mode_of
from spillover.controller.writer import Writer
from spillover.meshes import overflow
from spillover.meshes.objects import EPOCH_ANNOTATION
from spillover.meshes.overflow import numbers
from spillover.sources.demand import CounterSample
from spillover.sources.fetch import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from spillover.meshes.objects import ObjectRef

ORIGINS = ("edge1", "edge2")
SITES = (*ORIGINS, "cloud")


def host(origin: str, site: str) -> str:
    return "edgeapp.edgeapp.svc.cluster.local" if site == origin else f"edgeapp.{site}.peers.internal"


def identity(site: str) -> str:
    return f"spiffe://{site}.lab/gateway"


def raw_config(directory: Path, **changes: Any) -> dict[str, Any]:
    """Two edges that spill to each other and to the cloud, at 600 rpm an edge and 1200 at the cloud."""
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch()
    sites: dict[str, Any] = {
        name: {
            "capacity_rpm": 600,
            "kubeconfig": str(kubeconfig),
            "collector_url": f"http://collector.{name}.internal:8444",
            "virtual_service": {"namespace": "edgeapp", "name": "edgeapp", "route": None},
            "destinations": {site: host(name, site) for site in SITES},
            "overflow": {
                "application": "edgeapp",
                "namespace": "edgeapp",
                "identities": {site: identity(site) for site in ORIGINS if site != name},
            },
        }
        for name in ORIGINS
    }
    sites["cloud"] = {"capacity_rpm": 1200, "servers": 2, "collector_url": "http://collector.cloud.internal:8444"}
    links = [
        {"from": "edge1", "to": "edge2", "rtt_ms": 10},
        {"from": "edge1", "to": "cloud", "rtt_ms": 40},
        {"from": "edge2", "to": "edge1", "rtt_ms": 10},
        {"from": "edge2", "to": "cloud", "rtt_ms": 40},
    ]
    base = {"policy": "paper", "mode": "weights", "window_s": 1, "period_s": 1, "total": 100}
    return base | {"sites": sites, "links": links} | changes


class FakeClock:
    """Monotonic seconds that only move when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class FakeSite:
    """A site's collector and API server in one, with faults to switch on."""

    name: str
    requests_total: float = 0.0
    sampled_at_s: float = 0.0
    rate_rps: float = 5.0
    sample_error: Exception | None = None
    broken_value: float | None = None
    shares: dict[str, float] = field(default_factory=dict)
    api_error: Exception | None = None
    in_flight: float | None = None
    gateways: int = 1
    replicas: int | None = None
    conflicts: int = 0
    lost_answers: int = 0
    writes: int = 0
    claims: int = 0
    reads: int = 0
    flows: dict[str, float] = field(default_factory=dict)
    in_force: dict[str, int] | None = None
    history: list[dict[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        route = [
            {"destination": {"host": host(self.name, site)}, "weight": 100 if site == self.name else 0}
            for site in SITES
        ]
        self.virtual_service: dict[str, Any] = {
            "metadata": {"name": "edgeapp", "namespace": "edgeapp", "resourceVersion": "1"},
            "spec": {"http": [{"route": route}]},
        }
        peers = tuple(overflow.Peer(site, "198.18.0.9", 30443, identity(site)) for site in SITES if site != self.name)
        origins = {site: identity(site) for site in ORIGINS if site != self.name}
        here = overflow.OverflowSite("edgeapp", "edgeapp", "edgeapp.example", peers, origins)
        made = overflow.manifests(here, overflow.Numbers(None, 1, 2, identities=origins))
        plurals = {"Sidecar": "sidecars", "ServiceEntry": "serviceentries", "EnvoyFilter": "envoyfilters"}
        self.objects = {(plurals.get(manifest["kind"]), manifest["metadata"]["name"]): manifest for manifest in made}
        for manifest in made:
            manifest["metadata"]["resourceVersion"] = "1"

    @property
    def weights(self) -> dict[str, int]:
        route = self.virtual_service["spec"]["http"][0]["route"]
        return {site: entry["weight"] for site, entry in zip(SITES, route, strict=True)}

    def numbers(self) -> dict[str, float]:
        """Return what the site's proxies enforce."""
        origins = {site: identity(site) for site in ORIGINS if site != self.name}
        return {key: value for made in self.objects.values() for key, value in numbers.read(made, origins).items()}

    def get_object(self, ref: ObjectRef) -> dict[str, Any]:
        self.reads += 1
        if self.api_error is not None:
            raise self.api_error
        if (ref.plural, ref.name) not in self.objects:
            raise NotFound(f"{ref} does not exist")
        return copy.deepcopy(self.objects[ref.plural, ref.name])

    def patch_numbers(self, ref: ObjectRef, patch: Sequence[dict[str, Any]]) -> dict[str, Any]:
        if self.api_error is not None:
            raise self.api_error
        stored = self.objects[ref.plural, ref.name]
        if self.conflicts:
            self.conflicts -= 1
            _next_version(stored)
        _apply(stored, patch)
        self.writes += 1
        return copy.deepcopy(stored)

    def raise_epoch(self, ref: ObjectRef, version: str, epoch: int) -> dict[str, Any]:
        if self.api_error is not None:
            raise self.api_error
        virtual = ref.plural == "virtualservices"
        stored = self.virtual_service if virtual else self.objects[ref.plural, ref.name]
        if version != stored["metadata"]["resourceVersion"]:
            raise Conflict("it was changed by someone else after it was read")
        stored["metadata"].setdefault("annotations", {})[EPOCH_ANNOTATION] = str(epoch)
        _next_version(stored)
        self.claims += 1
        return copy.deepcopy(stored)

    def pass_time(self, seconds: float) -> None:
        self.requests_total += self.rate_rps * seconds
        self.sampled_at_s += seconds
        # Where requests go by the weights in force, which are the stored ones unless istiod is down.
        weights = self.weights if self.in_force is None else self.in_force
        for site, weight in weights.items():
            if (key := host(self.name, site)) in self.flows:
                self.flows[key] += self.rate_rps * seconds * weight / sum(weights.values())

    def restart_collector(self) -> None:
        self.requests_total = 0.0

    def read_demand(self) -> CounterSample:
        if self.sample_error is not None:
            raise self.sample_error
        value = self.requests_total if self.broken_value is None else self.broken_value
        return CounterSample(
            value,
            self.sampled_at_s,
            in_flight=self.in_flight,
            gateways=self.gateways,
            replicas=self.replicas,
            by_class={name: share * value for name, share in self.shares.items()},
            flows=dict(self.flows),
        )

    def edit(self, weights: Mapping[str, int]) -> None:
        """Change the weights as a person would."""
        for site, entry in zip(SITES, self.virtual_service["spec"]["http"][0]["route"], strict=True):
            entry["weight"] = weights[site]
        self._stored()

    def get_virtual_service(self, namespace: str, name: str, api_version: str = "") -> dict[str, Any]:
        assert (namespace, name, api_version) == ("edgeapp", "edgeapp", "networking.istio.io/v1")
        self.reads += 1
        if self.api_error is not None:
            raise self.api_error
        return copy.deepcopy(self.virtual_service)

    def patch_virtual_service_weights(
        self,
        namespace: str,
        name: str,
        patch: Sequence[dict[str, Any]],
        dry_run: bool = False,
        *,
        api_version: str = "",
    ) -> dict[str, Any]:
        assert not dry_run
        assert (namespace, name, api_version) == ("edgeapp", "edgeapp", "networking.istio.io/v1")
        if self.api_error is not None:
            raise self.api_error
        if self.conflicts:
            self.conflicts -= 1
            self._stored()
        _apply(self.virtual_service, patch)
        self.history.append(self.weights)
        self.writes += 1
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unreachable("the API server did not answer within 2 s")
        return copy.deepcopy(self.virtual_service)

    def _stored(self) -> None:
        _next_version(self.virtual_service)
        self.history.append(self.weights)


def _next_version(stored: dict[str, Any]) -> None:
    stored["metadata"]["resourceVersion"] = str(int(stored["metadata"]["resourceVersion"]) + 1)


def _apply(stored: dict[str, Any], patch: Sequence[dict[str, Any]]) -> None:
    """Apply a JSON patch as an API server would, and refuse one that changes nothing."""
    test, *changes = patch
    if test["value"] != stored["metadata"]["resourceVersion"]:
        raise Conflict("it was changed by someone else after it was read")
    assert changes
    for change in changes:
        *path, last = change["path"].strip("/").split("/")
        place: Any = stored
        for part in path:
            place = place[int(part)] if part.isdigit() else place[part]
        assert place[last] != change["value"], "a write that changes nothing"
        place[last] = change["value"]
    _next_version(stored)


class InlineRunner:
    """Runs tasks one after another; those named in ``hung`` never end."""

    def __init__(self) -> None:
        self.hung: set[str] = set()

    def run(self, tasks: Mapping[str, Callable[[], Any]], deadline_s: float) -> list[Outcome[Any]]:
        assert deadline_s > 0
        outcomes = []
        for name, task in tasks.items():
            if name in self.hung:
                continue
            try:
                outcomes.append(Outcome(name, value=task()))
            except Exception as error:  # noqa: BLE001  as the real one
                outcomes.append(Outcome(name, error=error))
        return outcomes


class World:
    """Fake sites, a fake clock and a controller that can be killed and started again."""

    def __init__(self, config: ControllerConfig) -> None:
        self.config = config
        self.clock = FakeClock()
        self.wall_s = 1_790_000_000.0
        self.sites = {name: FakeSite(name) for name in SITES}
        self.reads = InlineRunner()
        self.writes = InlineRunner()
        self.lines: list[dict[str, Any]] = []
        self.start()

    @classmethod
    def at(cls, directory: Path, **changes: Any) -> World:
        return cls(parse_config(raw_config(directory, **changes)))

    def start(self) -> None:
        """Start a controller that knows nothing."""
        registry = CollectorRegistry()
        self.metrics = ControllerMetrics(registry)
        edges = Edges(self.clock, lambda: self.wall_s, self._log, self.metrics, Random(7))  # noqa: S311
        clusters = {name: self.sites[name] for name in ORIGINS}
        self.writer = Writer(mode_of(self.config), self.config.period_s, clusters, self.writes, edges)
        readers = {name: site.read_demand for name, site in self.sites.items()}
        self.controller = Controller(self.config, readers, self.reads, self.writer, edges)

    def _log(self, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append({"event": event, **copy.deepcopy(dict(fields))})

    def pass_time(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.wall_s += seconds
        for site in self.sites.values():
            site.pass_time(seconds)

    def step(self) -> None:
        """Let one sampling interval pass, then do what the loop does at a decision."""
        self.pass_time(self.config.interval_s)
        self.controller.sample()
        self.controller.tick()

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    @property
    def last_tick(self) -> dict[str, Any]:
        return [line for line in self.lines if line["event"] == "tick"][-1]

    @property
    def all_writes(self) -> int:
        return sum(site.writes for site in self.sites.values())


def broken() -> SourceError:
    return SourceError("http://collector.edge1.internal:8444/demand answered with status 503")
