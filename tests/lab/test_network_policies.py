"""The second layer, below identities: whoever is not named opens no connection, and what is named goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from lab_helpers import CLIENT_PORT, DOCKER, HOST, SITES, kubectl, rolled_out, run, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

STRANGERS = "strangers"
OPEN, CLOSED = "open", "closed"
TRY = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()
    print("open")
except TimeoutError:
    print("closed")
"""
WAIT = "trap exit TERM; sleep 600 & wait"
"""A first process without a trap would not end when it is asked to."""

QUEUE = "/proc/net/netfilter/nfnetlink_queue"
REQUESTS = 200


def pod_address(site: str, namespace: str, selector: str) -> str:
    """Return the address of a pod."""
    where = "--output=jsonpath={.items[0].status.podIP}"
    return kubectl(site, f"--namespace={namespace}", "get", "pods", f"--selector={selector}", where)


@pytest.fixture(scope="module", params=sorted(SITES))
def site(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def from_a_stranger(site: str) -> Iterator[Callable[[str, int], str]]:
    """Try an address and port from a pod of a namespace that nobody named."""
    image = kubectl(
        site, "--namespace=apps", "get", "deployments", "--output=jsonpath={.items[0]..containers[0].image}"
    )
    kubectl(site, "create", "namespace", STRANGERS)
    there = f"--namespace={STRANGERS}"
    try:
        kubectl(site, there, "create", "deployment", "stranger", f"--image={image}", "--", "sh", "-c", WAIT)
        rolled_out(site, STRANGERS, "deployment/stranger")
        yield lambda address, port: kubectl(
            site, there, "exec", "deployment/stranger", "--", "python3", "-c", TRY, address, str(port)
        ).strip()
    finally:
        kubectl(site, "delete", "namespace", STRANGERS, "--wait=true", "--timeout=60s", timeout_s=70)


def test_a_stranger_reaches_what_no_policy_protects(site: str, from_a_stranger: Callable[[str, int], str]) -> None:
    """Else all that follows would say nothing."""
    assert from_a_stranger(pod_address(site, "kube-system", "k8s-app=kube-dns"), 53) == OPEN


@pytest.mark.parametrize("port", [8080, 8081, 15090])
def test_a_stranger_does_not_reach_the_application(
    site: str, from_a_stranger: Callable[[str, int], str], port: int
) -> None:
    address = pod_address(site, "apps", f"app={SITES[site]['workload']}")
    assert from_a_stranger(address, port) == CLOSED


def test_a_stranger_does_not_reach_the_collector(site: str, from_a_stranger: Callable[[str, int], str]) -> None:
    assert from_a_stranger(pod_address(site, "spillover-system", "app=collector"), 8080) == CLOSED


def test_a_stranger_does_not_reach_the_controller(site: str, from_a_stranger: Callable[[str, int], str]) -> None:
    if site == "cloud":
        assert from_a_stranger(pod_address(site, "spillover-system", "app=controller"), 8080) == CLOSED


@pytest.mark.parametrize(("port", "state"), [(8080, OPEN), (8443, OPEN), (8444, OPEN), (15090, CLOSED)])
def test_of_the_gateway_everybody_reaches_the_doors_alone(
    site: str, from_a_stranger: Callable[[str, int], str], port: int, state: str
) -> None:
    assert from_a_stranger(pod_address(site, "istio-system", "istio=ingressgateway"), port) == state


@pytest.mark.parametrize(("port", "state"), [(15012, OPEN), (15010, CLOSED), (8080, CLOSED)])
def test_of_istiod_proxies_reach_its_secured_port_alone(
    site: str, from_a_stranger: Callable[[str, int], str], port: int, state: str
) -> None:
    assert from_a_stranger(pod_address(site, "istio-system", "app=istiod"), port) == state


def looked_at(site: str) -> int:
    """Return how many packets the kernel has given to the program so far."""
    text = run([*DOCKER, "exec", f"spillover-{site}", "cat", QUEUE]).stdout
    return int(text.split()[7])


def test_only_the_first_packet_of_a_connection_is_looked_at(site: str) -> None:
    url = f"http://{SITES[site]['address']}:{CLIENT_PORT}/healthz"
    with httpx.Client(headers={"Host": HOST}, timeout=10, trust_env=False) as client:
        assert client.get(url).status_code == 200
        before = looked_at(site)
        assert {client.get(url).status_code for _ in range(REQUESTS)} == {200}
    # Others open some connections a second too; each request's packets would make this many more.
    assert looked_at(site) - before < REQUESTS


def test_a_label_lets_a_namespace_read_metrics(site: str, from_a_stranger: Callable[[str, int], str]) -> None:
    address = pod_address(site, "istio-system", "istio=ingressgateway")
    kubectl(site, "label", "namespace", STRANGERS, "spillover.dev/reads-metrics=true")
    try:
        wait_for(lambda: from_a_stranger(address, 15090) == OPEN)
    finally:
        kubectl(site, "label", "namespace", STRANGERS, "spillover.dev/reads-metrics-")


def test_the_collector_goes_on_reading_the_gateways(site: str) -> None:
    """Its readiness is the gateways' statistics, read again and again."""
    text = kubectl(site, "--namespace=spillover-system", "get", "pods", "--selector=app=collector", "--output=json")
    statuses = [one for pod in json.loads(text)["items"] for one in pod["status"]["containerStatuses"]]
    assert [one["name"] for one in statuses if not one["ready"]] == []
