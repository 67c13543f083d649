"""What clients notice of each fault while a crowd is at a door, and how long it takes until all is as before.

The sites are in overflow mode, two controllers stand ready, and one leads. Each fault leaves a line in
results/faults.json, from which ``python benchmarks/faults.py`` makes the table in docs/faults.md.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from crowd import Crowd
from injecting import engine, on_server, undone
from lab_helpers import ROOT, SITES, bucket_of, kubectl, rolled_out, wait_for
from leading import CONTROLLERS, holder, leader, pods, ticks

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300), pytest.mark.usefixtures("controllers")]

GATEWAY = "deployment/istio-ingressgateway"
RPS = 20
FAILOVER_S = 9.0
"""A lease of 6 s, a try each second, and what a busy machine takes for both."""

PEER_NOTICED_S = 1.0 + 0.2
"""Pings every 300 ms, and 700 ms of silence; the pause itself takes a moment."""

NOTICED_S = 4.0
"""Within this it is known that a site has no replica: endpoint discovery, the collector, a period and a push."""

RESULTS = ROOT / "results/faults.json"


@pytest.fixture(scope="module")
def controllers(lead_by: Callable[[str], None]) -> None:
    """Begin with all controllers ready and one that leads."""
    lead_by("overflow")
    rolled_out("cloud", "spillover-system", "deployment/controller")
    wait_for(lambda: leader() in pods(), timeout_s=20)


def kill(pod: str) -> None:
    """End a controller as no request to end would: it cannot give its lease back."""
    uid = kubectl("cloud", CONTROLLERS, "get", f"pod/{pod}", "--output=jsonpath={.metadata.uid}")
    mine = f"/proc/$process/cgroup | grep --quiet --extended-regexp '{uid}|{uid.replace('-', '_')}'"
    on_server(
        "cloud", "sh", "-c",
        f"for process in $(pgrep -f 'spillover controller'); do cat {mine} && kill -KILL $process && found=yes; done; "
        '[ "$found" = yes ]',
    )  # fmt: skip


def note(fault: str, crowd: Crowd, **measured: Any) -> None:
    """Keep what was seen, for the table."""
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    known[fault] = {
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
        "requests": len(crowd.requests),
        "errors": dict(crowd.errors),
        "slowest_ms": round(1000 * crowd.longest_s()),
        "unwell_s": round(crowd.unwell_s(), 1),
    } | measured
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


def test_a_killed_leader_is_replaced_and_no_client_notices() -> None:
    before, held_by = leader(), holder()
    with Crowd("edge1", RPS) as crowd:
        time.sleep(2)
        began_s = time.monotonic()
        kill(before)
        wait_for(lambda: holder() not in {held_by, ""}, timeout_s=30)
        took_s = time.monotonic() - began_s
        wait_for(lambda: bool(ticks(2)), timeout_s=10)
    rolled_out("cloud", "spillover-system", "deployment/controller")
    note("controller killed", crowd, recovered_s=round(took_s, 1))
    assert not crowd.errors
    assert took_s <= FAILOVER_S


def test_istiod_dies_and_no_client_notices() -> None:
    with Crowd("edge1", RPS) as crowd:
        time.sleep(2)
        began_s = time.monotonic()
        kubectl(
            "edge1",
            "--namespace=istio-system",
            "delete",
            "pods",
            "--selector=app=istiod",
            "--grace-period=0",
            "--force",
        )
        rolled_out("edge1", "istio-system", "deployment/istiod")
        took_s = time.monotonic() - began_s
        time.sleep(5)
    note("istiod killed", crowd, recovered_s=round(took_s, 1))
    assert not crowd.errors


def test_an_api_server_stands_still_for_30_s_and_no_client_notices() -> None:
    with Crowd("edge1", RPS) as crowd, Crowd("edge2", RPS / 2) as other:
        time.sleep(2)
        on_server("edge1", "pkill", "-STOP", "-x", "kube-apiserver")
        with undone(lambda: on_server("edge1", "pkill", "-CONT", "-x", "kube-apiserver")):
            time.sleep(30)
            # The others are decided for and written to every second all the same.
            assert len(ticks(10)) >= 8
        began_s = time.monotonic()
        wait_for(lambda: not [reason for reason in ticks(3)[-1]["reasons"].values() if "API server" in reason])
        took_s = time.monotonic() - began_s
    note("an API server stopped for 30 s", crowd, recovered_s=round(took_s, 1))
    assert not crowd.errors + other.errors


def test_the_peers_gateway_is_deleted_and_no_client_notices() -> None:
    with Crowd("edge1", RPS) as crowd:
        time.sleep(2)
        began_s = time.monotonic()
        kubectl(
            "edge2", "--namespace=istio-system", "delete", "pods", "--selector=istio=ingressgateway", "--wait=false"
        )
        time.sleep(2)
        rolled_out("edge2", "istio-system", GATEWAY)
        took_s = time.monotonic() - began_s
        time.sleep(2)
    note("the peer's gateway deleted", crowd, recovered_s=round(took_s, 1))
    assert not crowd.errors


def test_an_application_without_a_replica_is_left_within_seconds() -> None:
    application = f"deployment/{SITES['edge2']['workload']}"
    # Together what the two other sites can serve.
    with Crowd("edge2", RPS / 2) as own, Crowd("edge1", RPS / 2) as crowd:
        time.sleep(2)
        kubectl("edge2", "--namespace=apps", "scale", application, "--replicas=0")
        with undone(lambda: kubectl("edge2", "--namespace=apps", "scale", application, "--replicas=1")):
            time.sleep(15)
            settled_s = time.monotonic() - 3
            elsewhere = own.served(settled_s)
            late = [request for request in own.requests if request.at_s >= settled_s and request.error]
        rolled_out("edge2", "apps", application)
        wait_for(lambda: own.served(time.monotonic() - 1)["edge2"] > 0, timeout_s=40)
    note("edge2's application scaled to zero", own, recovered_s=round(own.unwell_s(), 1))
    note("edge2's application scaled to zero, seen from edge1", crowd, recovered_s=0.0)
    # Whoever came to another door notices nothing; at edge2's own, what came before anybody knew is refused.
    assert not crowd.errors
    assert set(own.errors) <= {"status 503 down"}
    assert not late
    assert elsewhere["edge2"] == 0
    assert set(elsewhere) <= {"edge1", "cloud"}
    assert own.unwell_s() <= NOTICED_S


def test_the_peers_server_stands_still_and_a_second_later_nobody_waits_longer_than_for_a_connection() -> None:
    with Crowd("edge1", RPS) as crowd:
        time.sleep(3)
        engine("pause", "spillover-edge2")
        with undone(lambda: engine("unpause", "spillover-edge2")):
            noticed_s = time.monotonic() + PEER_NOTICED_S
            time.sleep(15)
            later = [request for request in crowd.requests if request.at_s >= noticed_s]
        time.sleep(5)
    note("edge2's server paused for 15 s", crowd, recovered_s=round(crowd.unwell_s(), 1))
    # Only what had been handed to edge2 at that moment may be lost.
    assert sum(crowd.errors.values()) <= 3
    # 250 ms for a connection to the dead peer, and what the request takes on a busy machine.
    assert max(request.took_s for request in later) <= 0.25 + 0.5


def test_without_metrics_the_decision_is_held() -> None:
    cut = ("PREROUTING", "-p", "tcp", "--dport", "30444", "-j", "DROP")
    with Crowd("edge1", RPS) as crowd:
        time.sleep(5)
        on_server("edge1", "iptables", "--table=raw", "--insert", *cut)
        with undone(lambda: on_server("edge1", "iptables", "--table=raw", "--delete", *cut)):
            wait_for(lambda: ticks(3)[-1]["demand_rpm"]["edge1"] is None, timeout_s=15)
            time.sleep(1)  # a write may be under way
            before = bucket_of("edge1")
            time.sleep(8)
            assert ticks(3)[-1]["reasons"]["edge1"]
            held = bucket_of("edge1")
        began_s = time.monotonic()
        wait_for(lambda: ticks(3)[-1]["demand_rpm"]["edge1"] is not None, timeout_s=30)
        took_s = time.monotonic() - began_s
    note("metrics of edge1 cut for 10 s", crowd, recovered_s=round(took_s, 1))
    assert held == before
    assert not crowd.errors


def test_a_persons_edit_is_put_right() -> None:
    name = f"envoyfilter/spillover-{SITES['edge1']['workload']}-attempts"
    with Crowd("edge1", RPS) as crowd:
        time.sleep(6)
        path, _ = bucket_of("edge1")
        edit = [{"op": "add", "path": path, "value": {"max_tokens": 77, "tokens_per_fill": 1, "fill_interval": "7s"}}]
        began_s = time.monotonic()
        kubectl("edge1", "--namespace=istio-system", "patch", name, "--type=json", f"--patch={json.dumps(edit)}")
        wait_for(lambda: bucket_of("edge1")[1]["max_tokens"] != 77, timeout_s=30)
        took_s = time.monotonic() - began_s
    note("a person's edit of the bucket", crowd, recovered_s=round(took_s, 1))
    assert not crowd.errors
    # The four objects are read in turn, one a period, and one is written at most every 5 s.
    assert took_s <= 10


def test_both_edges_full_at_once_serve_everybody() -> None:
    with Crowd("edge1", 2 * RPS) as one, Crowd("edge2", 2 * RPS) as other:
        time.sleep(15)
    note("both edges overloaded at once", one, recovered_s=0.0)
    # Light requests: by the numbers both edges are full, by the work none is, so nobody has to be refused.
    assert not one.errors + other.errors
    assert one.served()["cloud"] > 0
    assert other.served()["cloud"] > 0


def test_with_the_cloud_cut_off_the_edges_go_on_with_their_last_numbers() -> None:
    with Crowd("edge1", RPS) as crowd:
        time.sleep(5)
        before = bucket_of("edge1")
        engine("pause", "spillover-cloud")
        with undone(lambda: engine("unpause", "spillover-cloud")):
            time.sleep(15)
            held = bucket_of("edge1")
            settled_s = time.monotonic() - 5
            served = crowd.served(settled_s)
        began_s = time.monotonic()
        wait_for(lambda: bool(ticks(2)), timeout_s=60)
        took_s = time.monotonic() - began_s
    rolled_out("cloud", "spillover-system", "deployment/controller")
    note("cloud cut off for 15 s", crowd, recovered_s=round(took_s, 1))
    assert held == before
    assert set(served) <= {"edge1", "edge2"}
    assert sum(crowd.errors.values()) <= 3
