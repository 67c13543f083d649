"""The daemon in groups mode: one controller for each group that is accepted and not paused, under one leadership."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from spillover.clusters import Cluster
from spillover.controller.edges import Edges, Log
from spillover.controller.elector import Elector
from spillover.controller.fence import FencedCluster
from spillover.controller.leadership import Leadership
from spillover.controller.metrics import ControllerMetrics
from spillover.controller.modes import of as mode_of
from spillover.controller.service import new_identity, open_leases, standing
from spillover.controller.tokens import LONGEST_S, SHORTEST_S, keep_token
from spillover.groups.access import Accesses
from spillover.groups.feed import Feed
from spillover.groups.metrics import groups_registry
from spillover.groups.plan import Running, plan
from spillover.groups.reporter import Reporter
from spillover.groups.runner import GroupLoop
from spillover.groups.sources import Sources
from spillover.groups.translation import Means
from spillover.groups.verdict import InForce, Verdict, judge
from spillover.model import SpilloverError
from spillover.serving import Answer, Endpoints, Routes, probes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from threading import Event

    from spillover.controller.config import LeadershipConfig
    from spillover.controller.reconcile import ClusterApi
    from spillover.groups.tick import Tick

_API_TIMEOUT_S = 2.0
"""For one call; a site's is waited for only as long as its group's period allows."""

_TURN_S = 1.0
"""Longest time from one look at everything to the next."""

_SHORTEST_TURN_S = 0.1
"""However often groups change."""

_ALIVE_S = 30.0
"""Without a turn for so long the process is dead: a turn may wait for the API server several times."""

_GRACE_S = 30.0
"""A group that cannot read a site for so long keeps the process from being ready no more: its status says so."""

_LONGEST_STOP_S = 6.0


@dataclass(frozen=True, slots=True)
class GroupsSettings:
    """What the daemon is told.

    Parameters
    ----------
    namespace : str
        Whose groups it follows: who may make groups there uses the daemon's access to the sites.
    kubeconfigs : Path
        Directory of the files that groups name.
    sources : Path, optional
        Directory of the sources of demand that groups name.
    kubeconfig : Path, optional
        File with the access to the API server that has the groups; None means the cluster in which this is a pod.
    leadership : LeadershipConfig, optional
        How one of several daemons is chosen; None for one that is alone.
    working_token_s : int, optional
        Seconds for which the tokens are good that it trades those of its kubeconfigs for; None to use theirs.
    """

    namespace: str
    kubeconfigs: Path
    sources: Path | None = None
    kubeconfig: Path | None = None
    leadership: LeadershipConfig | None = None
    working_token_s: int | None = None

    def __post_init__(self) -> None:
        for name, path in (("kubeconfigs", self.kubeconfigs), ("sources", self.sources)):
            if path is not None and not path.is_dir():
                raise SpilloverError(f"{name} must be a directory, got {str(path)!r}")
        if self.working_token_s is not None and not SHORTEST_S <= self.working_token_s <= LONGEST_S:
            raise SpilloverError(
                f"working_token_s must be from {SHORTEST_S} to {LONGEST_S}, got {self.working_token_s}"
            )


class GroupService:
    """Brings what runs to what the groups say, again and again; the loops are threads of their own.

    Parameters
    ----------
    api
        The API server that has the groups.
    namespace
        Where they are.
    accesses
        The API servers of the sites.
    sources
        Where demand may be read.
    edges
        Clocks, log, metrics of the process, chance.
    identity
        Name of this process.
    leads
        Whether this process leads: one that does not decides for every group too, and writes nothing.
    """

    def __init__(
        self,
        api: Cluster,
        namespace: str,
        accesses: Accesses,
        sources: Sources,
        edges: Edges,
        *,
        identity: str,
        leads: Callable[[], bool],
    ) -> None:
        self._accesses = accesses
        self._sources = sources
        self._edges = edges
        self._leads = leads
        self._changed = threading.Event()
        self._feed = Feed(api, namespace, edges, self._changed.set)
        self._reporter = Reporter(api, identity, edges)
        self._in_force: dict[str, InForce] = {}
        self._loops: dict[str, GroupLoop] = {}
        self._unstarted: dict[str, str] = {}
        self._turned_s = edges.clock()
        self.registry = groups_registry(self._registries)

    @property
    def alive(self) -> bool:
        """Whether the turns and all loops move."""
        loops = [loop for loop in self._loops.copy().values() if not loop.stopping]
        return self._edges.clock() - self._turned_s < _ALIVE_S and all(loop.controller.alive for loop in loops)

    @property
    def not_ready(self) -> str:
        """Why the process is not ready; empty when it is."""
        if not self._feed.synced:
            return self._feed.problem
        now_s = self._edges.clock()
        for loop in self._loops.copy().values():
            if loop.controller.not_ready and now_s - loop.began_s < _GRACE_S:
                return f"{loop.name}: {loop.controller.not_ready}"
        return ""

    @property
    def status(self) -> dict[str, Any]:
        """What each group's controller knew and wanted at its last decision, by name; None before it."""
        return {loop.name: loop.controller.status for loop in self._loops.copy().values()}

    def run(self, stop: Event) -> None:
        """Follow the groups until ``stop`` is set; the steps under way are finished."""
        threading.Thread(target=self._feed.run, args=(stop,), name="feed", daemon=True).start()
        while not stop.wait(_SHORTEST_TURN_S):
            self._turn_anyway()
            self._changed.wait(_TURN_S)
            self._changed.clear()
        for loop in self._loops.values():
            loop.stop()
        ends_s = self._edges.clock() + _LONGEST_STOP_S
        for loop in self._loops.values():
            loop.join(max(0.0, ends_s - self._edges.clock()))

    def turn(self) -> None:
        """Judge the groups, stop and start loops, and tell what became of them."""
        self._turned_s = self._edges.clock()
        self._loops = {uid: loop for uid, loop in self._loops.items() if not loop.ended}
        if not self._feed.synced:
            return
        self._accesses.refresh()
        self._sources.refresh()
        means = Means(self._accesses.files, self._accesses.servers, self._sources.known)
        verdicts = judge(self._feed.groups.values(), means, self._in_force)
        self._in_force = {uid: found.in_force for uid, found in verdicts.items() if found.in_force is not None}
        self._carry_out(verdicts)
        leads = self._leads()
        self._edges.metrics.led(leads)
        if leads:
            ticks = {uid: self._tick(uid, verdict) for uid, verdict in verdicts.items()}
            # A tick from before this process led says nothing about what is written.
            told = {uid: tick for uid, tick in ticks.items() if tick is None or tick.leading}
            self._reporter.report({uid: (verdicts[uid], tick) for uid, tick in told.items()})

    def _turn_anyway(self) -> None:
        try:
            self.turn()
        except Exception as error:  # noqa: BLE001  whatever it is, the loops go on, and the next turn comes
            # The words of an error that is not ours could hold anything, a credential too.
            why = str(error) if isinstance(error, SpilloverError) else f"an unexpected {type(error).__name__}"
            self._log("turn_failed", error=why)

    def _carry_out(self, verdicts: Mapping[str, Verdict]) -> None:
        running = {
            uid: Running(loop.in_force.config, loop.in_force.claims, loop.stopping) for uid, loop in self._loops.items()
        }
        todo = plan(verdicts, running)
        for uid in todo.stop:
            self._loops[uid].stop()
            self._log("group_stopped", group=self._loops[uid].name)
        for uid in todo.start:
            self._start(uid, str(verdicts[uid].group), self._in_force[uid])

    def _start(self, uid: str, name: str, in_force: InForce) -> None:
        sites = in_force.config.sites
        clusters = {
            site: self._accesses.api(path)
            for site in sorted(mode_of(in_force.config).sites)
            if (path := sites[site].kubeconfig) is not None
        }
        try:
            self._loops[uid] = GroupLoop(name, in_force, clusters, self._edges, leads=self._leads)
        except SpilloverError as error:  # a file of a source, say: the other groups go on
            if self._unstarted.get(uid) != str(error):
                self._log("group_failed", group=name, error=str(error))
            self._unstarted[uid] = str(error)
        else:
            self._unstarted.pop(uid, None)
            self._log("group_started", group=name, generation=in_force.generation)

    def _tick(self, uid: str, verdict: Verdict) -> Tick | None:
        """Return what the group's controller saw last, if it follows what is in force."""
        loop = self._loops.get(uid)
        if loop is None or loop.stopping or verdict.in_force is None:
            return None
        return loop.tick if loop.in_force.config == verdict.in_force.config else None

    def _registries(self) -> dict[str, CollectorRegistry]:
        loops = self._loops.copy().values()
        return {"": self._edges.metrics.registry} | {loop.name: loop.registry for loop in loops}

    def _log(self, event: str, **fields: Any) -> None:
        self._edges.log(event, {"time": self._edges.wall_clock(), **fields})


def routes(service: GroupService) -> Routes:
    """Return what the daemon answers, by path."""
    return {
        **probes(lambda: service.alive, lambda: service.not_ready, stuck="a loop does not move"),
        "/status": lambda: Answer.json(200, service.status),
        "/metrics": lambda: Answer.metrics(service.registry),
    }


def run_groups(
    settings: GroupsSettings,
    listen: str,
    stop: Event,
    log: Log,
    *,
    started: Callable[[int], None] = lambda _port: None,
) -> None:
    """Control every group until ``stop`` is set.

    Parameters
    ----------
    settings
        See there.
    listen
        ``host:port`` of the endpoints.
    stop
        Set it from a signal handler or another thread.
    log
        Takes an event and its fields.
    started
        Called with the port once it listens.

    Raises
    ------
    SpilloverError
        If the API server's access or the address cannot be used.
    """
    edges = Edges(time.monotonic, time.time, log, ControllerMetrics(CollectorRegistry()), random.Random())  # noqa: S311  jitter
    identity = new_identity()
    api = _open(settings.kubeconfig)
    with ExitStack() as stack:
        leads, guard = _alone()
        if settings.leadership is not None:
            leads, guard = _elected(settings.leadership, identity, edges, stack)

        def opened(name: str, cluster: Cluster) -> None:
            if settings.working_token_s is not None:
                keep_token(name, cluster, settings.working_token_s, edges, stop)

        accesses = Accesses(settings.kubeconfigs, _open, guard, edges, opened)
        sources = Sources(settings.sources, edges)
        service = GroupService(api, settings.namespace, accesses, sources, edges, identity=identity, leads=leads)
        endpoints = stack.enter_context(Endpoints(listen, routes(service)))
        started(endpoints.port)
        service.run(stop)


def _alone() -> tuple[Callable[[], bool], Callable[[Cluster], ClusterApi]]:
    """Return what says whether this process leads, and what keeps others from being written against: nothing does."""
    return lambda: True, lambda cluster: cluster


def _elected(
    config: LeadershipConfig, identity: str, edges: Edges, stack: ExitStack
) -> tuple[Callable[[], bool], Callable[[Cluster], ClusterApi]]:
    """Return the same for one of several processes, which stands for election until the stack unwinds."""
    leadership = Leadership(identity, config.times())
    elector = Elector(leadership, open_leases(config), config.namespace, config.name, edges)
    stack.enter_context(standing(elector, config.lease_duration_s))
    return elector.leads, lambda cluster: FencedCluster(cluster, leadership, edges.clock)


def _open(path: Path | None) -> Cluster:
    if path is None:
        return Cluster.from_pod(timeout_s=_API_TIMEOUT_S)
    return Cluster.from_kubeconfig(path, timeout_s=_API_TIMEOUT_S)
