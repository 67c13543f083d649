"""The daemon in groups mode against a real API server, collectors and proxies' statistics."""

from __future__ import annotations

import itertools
import json
import secrets
import socket
import socketserver
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from definitions import CRDS_PATH, install
from fixtures.robot import Robot
from groups_fakes import raw_spec

from spillover.clusters import ClusterError
from spillover.collector.service import CollectorSettings, run_collector
from spillover.controller.config import LeadershipConfig
from spillover.groups.access import Accesses
from spillover.groups.feed import MISSING
from spillover.groups.resource import API_VERSION, KIND, PLURAL
from spillover.groups.service import GroupsSettings, run_groups
from spillover.meshes import overflow
from spillover.meshes.objects import read_epoch
from spillover.meshes.overflow import numbers
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from fixtures.apiserver import ApiServer

EDGES = ("edge1", "edge2")
SECRET = "canary-88d0"  # noqa: S105  a value to look for
PLURALS = {"Sidecar": "sidecars", "ServiceEntry": "serviceentries", "EnvoyFilter": "envoyfilters"}
RULES = [
    {"apiGroups": ["spillover.dev"], "resources": ["spillovergroups"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["spillover.dev"], "resources": ["spillovergroups/status"], "verbs": ["update", "patch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["controller"],
        "verbs": ["get", "update"],
    },
]
"""As the role gives them: tests/roles/test_controller.py compares."""

pytestmark = pytest.mark.usefixtures("crd")


class Proxy:
    """A gateway's statistics on loopback, whose counter follows the real clock at a rate that a test sets."""

    def __init__(self, application: str) -> None:
        self.rate_rps = 5.0
        self._total, self._at_s = 0.0, time.monotonic()
        self._cluster = f"outbound|80||{application}.apps.svc.cluster.local"
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = proxy.statistics().encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):  # who asked has gone
                    self.wfile.write(body)
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def crowd(self, rate_rps: float) -> None:
        self._count()
        self.rate_rps = rate_rps

    def statistics(self) -> str:
        self._count()
        prefix = 'http_conn_manager_prefix="outbound_0.0.0.0_8080"'
        lines = [f"envoy_http_downstream_rq_total{{{prefix}}} {int(self._total)}"]
        for metric, value in (("upstream_rq_active", 1), ("membership_healthy", 1)):
            lines.append(f'envoy_cluster_{metric}{{cluster_name="{self._cluster}"}} {value}')
        return "\n".join([*lines, ""])

    def _count(self) -> None:
        now_s = time.monotonic()
        self._total += self.rate_rps * (now_s - self._at_s)
        self._at_s = now_s


class Line:
    """A TCP line to the API server that a test cuts and mends."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("https://").split(":")
        self.whole = True
        self._ends: list[socket.socket] = []
        line = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if line.whole:
                    with socket.create_connection((host, int(port))) as far:
                        line.join(self.request, far)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.server_address[1]}"

    def join(self, near: socket.socket, far: socket.socket) -> None:
        self._ends += [near, far]
        back = threading.Thread(target=self._carry, args=(far, near), daemon=True)
        back.start()
        self._carry(near, far)
        back.join()

    def cut(self) -> None:
        self.whole = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.whole = True

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


class Lab:
    """Two edges and a cloud whose objects are in one API server; each with a proxy and a real collector."""

    def __init__(self, apiserver: ApiServer, namespace: str, directory: Path) -> None:
        self.apiserver = apiserver
        self.namespace = namespace
        self.kubeconfigs = directory / "kubeconfigs"
        self.kubeconfigs.mkdir()
        self.sources = directory / "sources"
        self.sources.mkdir()
        self.stop = threading.Event()
        suffix = secrets.token_hex(3)
        self.applications = {name: f"{name}-{suffix}" for name in EDGES}
        self.identities = {name: f"spiffe://{name}.lab/gateway" for name in EDGES}
        self.proxies = {name: Proxy(self.applications.get(name, "cloud")) for name in (*EDGES, "cloud")}
        self.ports: dict[str, int] = {}
        self.line = Line(apiserver.url)
        token = apiserver.service_account_token(namespace, RULES)
        self.kubeconfig = apiserver.kubeconfig(directory / "daemon", token=token, server=self.line.url)
        for name in EDGES:
            apiserver.kubeconfig(self.kubeconfigs / name)

    def start(self) -> None:
        for name, proxy in self.proxies.items():
            settings = CollectorSettings(
                site=name,
                gateways="127.0.0.1",
                listen="127.0.0.1:0",
                services=(f"{self.applications.get(name, 'cloud')}.apps.svc.cluster.local",),
                port=proxy.server.server_address[1],
            )
            ready = threading.Event()

            def started(port: int, name: str = name, ready: threading.Event = ready) -> None:
                self.ports[name] = port
                ready.set()

            run = threading.Thread(target=run_collector, args=(settings, self.stop), kwargs={"started": started})
            run.start()
            assert ready.wait(10)

    def end(self) -> None:
        self.stop.set()
        for proxy in self.proxies.values():
            proxy.server.shutdown()
            proxy.server.server_close()
        self.line.server.shutdown()
        self.line.cut()

    def install_overflow(self) -> None:
        for name in EDGES:
            peers = tuple(
                overflow.Peer(it, "198.18.0.9", 30443, f"spiffe://{it}.lab/gateway") for it in self.peers(name)
            )
            origins = {it: self.identities[it] for it in EDGES if it != name}
            here = overflow.OverflowSite(self.applications[name], self.namespace, "shop.example", peers, origins)
            for manifest in overflow.manifests(here, overflow.Numbers(None, 1, 2, identities=origins)):
                if manifest["kind"] in PLURALS and "doors" not in manifest["metadata"]["name"]:
                    self.apiserver.request("POST", self.path(manifest), json=manifest)

    def install_weights(self) -> None:
        for name in EDGES:
            route = [
                {"destination": {"host": host}, "weight": 100 if it == name else 0}
                for it, host in {name: "home", **{peer: f"{peer}.peers" for peer in self.peers(name)}}.items()
            ]
            self.apiserver.create(
                {
                    "apiVersion": "networking.istio.io/v1",
                    "kind": "VirtualService",
                    "metadata": {"namespace": self.namespace, "name": self.applications[name]},
                    "spec": {"hosts": ["shop.example"], "http": [{"route": route}]},
                }
            )

    def peers(self, name: str) -> list[str]:
        return [it for it in (*EDGES, "cloud") if it != name]

    def path(self, manifest: Mapping[str, Any]) -> str:
        plural = PLURALS[manifest["kind"]]
        return f"/apis/{manifest['apiVersion']}/namespaces/{manifest['metadata']['namespace']}/{plural}"

    def objects(self, name: str) -> list[dict[str, Any]]:
        refs = overflow.numbered_objects(self.applications[name], self.namespace)
        return [
            self.apiserver.request("GET", f"/apis/{it.api_version}/namespaces/{it.namespace}/{it.plural}/{it.name}")
            for it in refs
        ]

    def numbers(self, name: str) -> dict[str, float]:
        origins = {it: self.identities[it] for it in EDGES if it != name}
        return {key: value for made in self.objects(name) for key, value in numbers.read(made, origins).items()}

    def weights(self, name: str) -> list[int]:
        path = f"/apis/networking.istio.io/v1/namespaces/{self.namespace}/virtualservices/{self.applications[name]}"
        route = self.apiserver.request("GET", path)["spec"]["http"][0]["route"]
        return [entry["weight"] for entry in route]

    def spec(self, mode: str = "overflow", **changes: Any) -> dict[str, Any]:
        spec = raw_spec(mode=mode, periodSeconds=0.5, windowSeconds=1, **changes)
        for site in spec["sites"]:
            site["demand"] = {"collectorUrl": f"http://127.0.0.1:{self.ports[site['name']]}"}
            if site["name"] in EDGES:
                name = self.applications[site["name"]]
                site["service"] = {"namespace": self.namespace, "name": name, "destination": "home"}
        for link in spec["links"]:
            link["destination"] = f"{link['to']}.peers"
        return spec

    def apply(self, spec: dict[str, Any], name: str = "shop") -> dict[str, Any]:
        made = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"namespace": self.namespace, "name": name}}
        return self.apiserver.create(made | {"spec": spec})

    def change(self, made: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return self.apiserver.merge(made, {"spec": changes})

    def condition(self, made: dict[str, Any], name: str) -> tuple[str, str, int]:
        found = self.apiserver.read(made)
        for it in found.get("status", {}).get("conditions", []):
            if it["type"] == name and it["observedGeneration"] == found["metadata"]["generation"]:
                return it["status"], it["reason"], it["observedGeneration"]
        return "", "", 0

    def message(self, made: dict[str, Any], name: str) -> str:
        return str(
            next(it["message"] for it in self.apiserver.read(made)["status"]["conditions"] if it["type"] == name)
        )

    def events(self) -> set[tuple[str, str]]:
        items = self.apiserver.request("GET", f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        return {(item["action"], item["reason"]) for item in items}


class Daemon:
    def __init__(self, lab: Lab, *, leadership: bool = False) -> None:
        lease = LeadershipConfig(
            namespace=lab.namespace,
            name="controller",
            kubeconfig=lab.kubeconfig,
            lease_duration_s=3,
            renew_deadline_s=2,
            retry_period_s=0.3,
        )
        self.settings = GroupsSettings(
            lab.namespace, lab.kubeconfigs, lab.sources, lab.kubeconfig, lease if leadership else None
        )
        self.stop = threading.Event()
        self.lines: list[dict[str, Any]] = []
        self.port = 0
        self.listening = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        run_groups(self.settings, "127.0.0.1:0", self.stop, self._log, started=self._started)

    def _log(self, event: str, fields: Mapping[str, Any]) -> None:
        json.dumps(dict(fields), allow_nan=False)
        self.lines.append({"event": event, **fields})

    def _started(self, port: int) -> None:
        self.port = port
        self.listening.set()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)

    def seen(self, event: str, group: str = "") -> int:
        return sum(line["event"] == event and line.get("group", "").endswith(group) for line in self.lines)


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    daemon.thread.start()
    assert daemon.listening.wait(20)
    try:
        yield daemon
    finally:
        daemon.stop.set()
        daemon.thread.join(20)
    assert not daemon.thread.is_alive()


def wait_for(condition: Callable[[], Any], most_s: float = 30.0) -> None:
    ends = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.1)


@pytest.fixture
def lab(apiserver: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Lab]:
    it = Lab(apiserver, namespace, tmp_path)
    it.start()
    yield it
    it.end()


def ready(lab: Lab, made: dict[str, Any]) -> Callable[[], bool]:
    return lambda: lab.condition(made, "Ready")[0] == "True"


@pytest.mark.usefixtures("overflow_kinds")
def test_a_group_in_overflow_mode_tells_the_proxies_and_the_engineers(lab: Lab, kubectl: Callable[..., str]) -> None:
    lab.install_overflow()
    before = lab.numbers("edge1")
    made = lab.apply(lab.spec())
    with running(Daemon(lab)) as daemon:
        assert "condition met" in kubectl("wait", "--for=condition=Ready", "spillovergroup/shop", "--timeout=30s")
        wait_for(lambda: lab.numbers("edge1")["grant_rps.edge2"] != before["grant_rps.edge2"])
        assert daemon.get("/readyz").text == "ready\n"
        assert daemon.get("/healthz").status_code == 200
        assert f'spillover_demand_rps{{group="{lab.namespace}/shop",site="edge1"}}' in daemon.get("/metrics").text
        assert daemon.get("/status").json()[f"{lab.namespace}/shop"]["sites"]["edge1"]["source"] == "collector"
        calm = lab.numbers("edge1")
        lab.proxies["edge1"].crowd(20.0)
        wait_for(lambda: lab.numbers("edge1") != calm)
        wait_for(lambda: lab.apiserver.read(made)["status"]["spilledRpm"] > 0)
        wait_for(lambda: lab.apiserver.read(made)["status"]["demandRpm"] > 900)
        status = lab.apiserver.read(made)["status"]
        assert status["observedGeneration"] == 1
        row = kubectl("get", "spillovergroups").splitlines()[1].split()
        assert row[:3] == ["shop", "cooperative", "overflow"]
        assert float(row[3]) > 900
        assert row[5] == "False"
        for name in (*EDGES, "cloud"):
            lab.proxies[name].crowd(200.0)
        wait_for(lambda: lab.condition(made, "Saturated")[0] == "True")
        wait_for(lambda: ("Saturated", "DemandAboveCapacity") in lab.events())


@pytest.mark.usefixtures("overflow_kinds")
def test_a_pause_writes_nothing_and_the_proxies_keep_their_numbers(lab: Lab) -> None:
    lab.install_overflow()
    made = lab.apply(lab.spec())
    with running(Daemon(lab)):
        wait_for(ready(lab, made))
        lab.change(made, paused=True)
        wait_for(lambda: lab.condition(made, "Ready")[1] == "Paused")
        held = [it["metadata"]["resourceVersion"] for name in EDGES for it in lab.objects(name)]
        lab.proxies["edge1"].crowd(40.0)
        time.sleep(7)
        assert held == [it["metadata"]["resourceVersion"] for name in EDGES for it in lab.objects(name)]
        assert "demandRpm" not in lab.apiserver.read(made)["status"]
        lab.change(made, paused=False)
        wait_for(ready(lab, made))
        wait_for(lambda: held != [it["metadata"]["resourceVersion"] for name in EDGES for it in lab.objects(name)])


def test_a_change_needs_no_restart_and_disturbs_no_other_group(lab: Lab) -> None:
    lab.install_weights()
    spec = lab.spec("weights", policy="paper")
    other = {"sites": [spec["sites"][1], spec["sites"][2]], "links": spec["links"][3:4], "policy": "paper"}
    lab.proxies["edge2"].crowd(20.0)
    shop = lab.apply(spec | other, "shop")
    with running(Daemon(lab)) as daemon:
        wait_for(ready(lab, shop))
        wait_for(lambda: lab.weights("edge2")[0] == pytest.approx(50, abs=6))
        tea = lab.apply(lab.spec("weights", policy="paper") | {"sites": [spec["sites"][2]], "links": []}, "tea")
        wait_for(ready(lab, tea))
        sites = [it | {"capacityRpm": 300 if it["name"] == "edge2" else 1200} for it in other["sites"]]
        lab.change(shop, sites=sites)
        wait_for(lambda: lab.condition(shop, "Ready")[::2] == ("True", 2))
        wait_for(lambda: lab.weights("edge2")[0] == pytest.approx(25, abs=4))
        assert (daemon.seen("group_started", "/shop"), daemon.seen("group_started", "/tea")) == (2, 1)
        lab.apiserver.delete(tea)
        wait_for(lambda: daemon.seen("group_stopped", "/tea") == 1)


def test_tokens_are_renewed_and_one_whose_account_is_gone_is_a_condition_and_no_other_sites_business(lab: Lab) -> None:
    lab.install_weights()
    rules = [{"apiGroups": ["networking.istio.io"], "resources": ["virtualservices"], "verbs": ["get", "patch"]}]
    robots = {name: Robot(lab.apiserver, lab.namespace, rules, name) for name in EDGES}
    for name, robot in robots.items():
        lab.apiserver.kubeconfig(lab.kubeconfigs / name, token=robot.token())
    made = lab.apply(lab.spec("weights", policy="paper"))
    daemon = Daemon(lab)
    daemon.settings = replace(daemon.settings, working_token_s=600)
    with running(daemon):
        wait_for(ready(lab, made))
        wait_for(lambda: daemon.seen("token_renewed") == 2)
        metrics = daemon.get("/metrics").text
        for name in EDGES:
            assert f'spillover_token_renewals_total{{group="",site="{name}"}} 1.0' in metrics
        lab.apiserver.delete(robots["edge1"].account)
        wait_for(lambda: lab.condition(made, "Ready")[1] == "NotWritten")
        said = lab.message(made, "Ready")
        assert said.startswith("edge1: not written: the API server at ")
        assert said.endswith("does not accept the credentials")
        lab.proxies["edge2"].crowd(20.0)
        wait_for(lambda: lab.weights("edge2")[0] == pytest.approx(50, abs=6))
        wait_for(lambda: daemon.seen("token_not_renewed") == 1)
        lab.apiserver.create(robots["edge1"].account)
        lab.apiserver.kubeconfig(lab.kubeconfigs / "edge1", token=robots["edge1"].token())
        wait_for(ready(lab, made), 60)
        wait_for(lambda: daemon.seen("token_renewed") == 3, 90)


def test_what_is_not_accepted_leaves_the_last_good_in_force_also_after_a_restart(lab: Lab) -> None:
    lab.install_weights()
    lab.proxies["edge1"].crowd(20.0)
    made = lab.apply(lab.spec("weights", policy="paper"))
    bad = lab.spec("weights", policy="paper")["sites"]
    bad[0]["access"] = {"kubeconfig": "mars"}
    with running(Daemon(lab)):
        wait_for(ready(lab, made))
        wait_for(lambda: lab.weights("edge1")[0] == pytest.approx(50, abs=6))
        lab.change(made, sites=bad)
        wait_for(lambda: lab.condition(made, "Accepted") == ("False", "Invalid", 2))
        assert "must be one that the daemon has (edge1, edge2), got 'mars'" in lab.message(made, "Accepted")
        assert lab.condition(made, "Ready")[1] == "NotAccepted"
        assert ("Accepted", "Invalid") in lab.events()
    with running(Daemon(lab)) as daemon:
        lab.proxies["edge1"].crowd(40.0)
        wait_for(lambda: lab.weights("edge1")[0] == pytest.approx(25, abs=4))
        assert lab.message(made, "Accepted").endswith("generation 1 stays in force")
        assert lab.apiserver.read(made)["status"]["accepted"]["generation"] == 1
        lab.apiserver.kubeconfig(lab.kubeconfigs / "mars")
        wait_for(lambda: lab.condition(made, "Accepted") == ("True", "Valid", 2))
        wait_for(lambda: daemon.seen("group_started", "/shop") == 2)


def test_a_source_that_is_named_and_comes_later_is_used_and_one_that_cannot_be_used_hurts_no_other(lab: Lab) -> None:
    lab.install_weights()
    spec = lab.spec("weights", policy="paper")
    spec["sites"][0]["demand"] = {"source": "edge1"}
    made = lab.apply(spec)
    other = lab.apply(lab.spec("weights") | {"sites": lab.spec()["sites"][2:], "links": []}, "tea")
    bad = lab.sources.parent / "no-certificate"
    bad.write_text(SECRET)
    with running(Daemon(lab)) as daemon:
        wait_for(lambda: lab.condition(made, "Accepted")[:2] == ("False", "Invalid"))
        assert "sites.edge1.demand.source must be one that the daemon has (none)" in lab.message(made, "Accepted")
        prometheus = {"url": "https://127.0.0.1:9", "preset": "envoy", "ca_file": str(bad)}
        (lab.sources / "edge1").write_text(json.dumps({"prometheus": prometheus}))
        wait_for(lambda: daemon.seen("group_failed", "/shop"))
        wait_for(ready(lab, other))
        (lab.sources / "edge1").write_text(json.dumps({"collector_url": f"http://127.0.0.1:{lab.ports['edge1']}"}))
        wait_for(ready(lab, made))
        assert daemon.seen("group_failed", "/shop") == 1
    assert SECRET not in str(daemon.lines)


def test_the_newer_of_two_groups_is_told_who_writes_its_application(lab: Lab) -> None:
    lab.install_weights()
    first = lab.apply(lab.spec("weights"), "first")
    time.sleep(1.1)  # creation times are whole seconds
    second = lab.apply(lab.spec("weights"), "a-second")
    with running(Daemon(lab)):
        wait_for(ready(lab, first))
        wait_for(lambda: lab.condition(second, "Accepted")[:2] == ("False", "Conflict"))
        assert f"is written by the older group {lab.namespace}/first" in lab.message(second, "Accepted")
        lab.apiserver.delete(first)
        wait_for(ready(lab, second))


def test_metrics_that_are_missing_are_a_condition_and_an_event(lab: Lab) -> None:
    lab.install_weights()
    made = lab.apply(lab.spec("weights"))
    with running(Daemon(lab)):
        wait_for(ready(lab, made))
        lab.stop.set()
        wait_for(lambda: lab.condition(made, "MetricsAvailable")[:2] == ("False", "Missing"))
        assert lab.condition(made, "Ready")[0] == "True"
        wait_for(lambda: ("MetricsAvailable", "Missing") in lab.events())


def test_of_two_daemons_one_writes_sites_and_status_and_the_other_takes_over(lab: Lab) -> None:
    lab.install_weights()
    lab.proxies["edge1"].crowd(20.0)
    made = lab.apply(lab.spec("weights", policy="paper"))
    path = f"/apis/networking.istio.io/v1/namespaces/{lab.namespace}/virtualservices/{lab.applications['edge1']}"

    with ExitStack() as stack:
        first = stack.enter_context(running(Daemon(lab, leadership=True)))
        wait_for(ready(lab, made))
        second = stack.enter_context(running(Daemon(lab, leadership=True)))
        wait_for(lambda: second.get("/readyz").status_code == 200 and second.seen("tick") > 3)
        assert (second.seen("status_written"), second.seen("weights_written")) == (0, 0)
        assert read_epoch(lab.apiserver.request("GET", path)) == 1
        first.stop.set()
        first.thread.join(20)
        lab.proxies["edge1"].crowd(40.0)
        wait_for(lambda: lab.weights("edge1")[0] == pytest.approx(25, abs=4))
        wait_for(lambda: second.seen("status_written") > 0)
        assert read_epoch(lab.apiserver.request("GET", path)) == 2
        assert 'spillover_leading{group=""} 1.0' in second.get("/metrics").text


def test_without_its_api_server_a_group_goes_on_and_what_changed_meanwhile_is_followed_later(lab: Lab) -> None:
    lab.install_weights()
    lab.proxies["edge1"].crowd(20.0)
    made = lab.apply(lab.spec("weights", policy="paper"))
    with running(Daemon(lab)) as daemon:
        wait_for(ready(lab, made))
        lab.line.cut()
        lab.change(made, paused=True)
        lab.proxies["edge1"].crowd(40.0)
        wait_for(lambda: lab.weights("edge1")[0] == pytest.approx(25, abs=4))
        wait_for(lambda: daemon.seen("groups_failed"))
        assert daemon.get("/healthz").status_code == 200
        lab.line.mend()
        wait_for(lambda: lab.condition(made, "Ready") == ("False", "Paused", 2))
        assert daemon.seen("groups_back") == 1


def test_a_missing_definition_is_said_and_no_crash_and_it_may_come_later(lab: Lab, crd: dict[str, Any]) -> None:
    definition = f"{CRDS_PATH}/{PLURAL}.spillover.dev"
    lab.install_weights()
    lab.apiserver.request("DELETE", definition)
    try:
        wait_for(lambda: lab.apiserver.client.get(definition).status_code == 404)
        with running(Daemon(lab)) as daemon:
            wait_for(lambda: daemon.get("/readyz").text == f"{MISSING}\n")
            assert daemon.get("/healthz").status_code == 200
            time.sleep(1.5)
            assert daemon.seen("groups_failed") == 1
            install(lab.apiserver, crd)
            made = lab.apply(lab.spec("weights"))
            wait_for(ready(lab, made))
    finally:
        if lab.apiserver.client.get(definition).status_code == 404:
            install(lab.apiserver, crd)


def test_what_cannot_work_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(SpilloverError, match="kubeconfigs must be a directory, got"):
        GroupsSettings("apps", tmp_path / "absent")
    with pytest.raises(SpilloverError, match="working_token_s must be from 600 to 86400, got 599"):
        GroupsSettings("apps", tmp_path, working_token_s=599)
    settings = GroupsSettings("apps", tmp_path, kubeconfig=tmp_path / "absent")
    with pytest.raises(ClusterError, match="is not a file"):
        run_groups(settings, "127.0.0.1:0", threading.Event(), lambda *_: None)


def test_a_turn_that_fails_is_logged_without_its_words_and_the_next_one_comes(
    monkeypatch: pytest.MonkeyPatch, lab: Lab
) -> None:
    lab.install_weights()
    real, turns = Accesses.refresh, itertools.count()

    def refresh(accesses: Accesses) -> None:
        if next(turns) < 2:
            raise RuntimeError(SECRET)
        real(accesses)

    monkeypatch.setattr(Accesses, "refresh", refresh)
    made = lab.apply(lab.spec("weights"))
    with running(Daemon(lab)) as daemon:
        wait_for(ready(lab, made))
    assert daemon.seen("turn_failed") == 2
    assert SECRET not in str(daemon.lines)
