"""The gateways' doors, on the standing lab: who may enter, and what becomes of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from certificates import Authority, anonymous_context
from lab_helpers import CLIENT_PORT, CONTROL_PORT, HOST, KUBECONFIG, LINKS, PEER_PORT, SITES, STATE

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

pytestmark = pytest.mark.lab

GATEWAY = "/ns/istio-system/sa/istio-ingressgateway-service-account"
PAIRS = [(link["from"], link["to"]) for link in LINKS]


@pytest.mark.parametrize("site", SITES)
def test_a_client_is_served(site: str) -> None:
    answer = httpx.get(f"http://{SITES[site]['address']}:{CLIENT_PORT}/healthz", headers={"Host": HOST}, timeout=10)
    assert answer.status_code == 200


def knock(site: str, port: int, context: ssl.SSLContext, path: str = "/healthz", host: str = HOST) -> httpx.Response:
    """Ask at an inner door; TLS 1.3 tells of a missing certificate only after the handshake, so the answer decides."""
    with httpx.Client(verify=context, timeout=10, trust_env=False) as client:
        extensions = {"sni_hostname": f"{site}.peers.internal"}
        url = f"https://{SITES[site]['address']}:{port}{path}"
        return client.get(url, headers={"Host": host}, extensions=extensions)


def workload_context(site: str, workload: str, folder: Path, authority: Authority | None = None) -> ssl.SSLContext:
    """Return a TLS client that is a workload of a site, by the word of the site's authority or of another one."""
    authority = authority or Authority.of_site(STATE / "pki", site)
    return authority.client_context(f"spiffe://{SITES[site]['trust_domain']}{workload}", folder)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("port", [PEER_PORT, CONTROL_PORT])
def test_the_inner_doors_refuse_who_has_no_certificate(site: str, port: int) -> None:
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
        knock(site, port, anonymous_context())


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("port", [PEER_PORT, CONTROL_PORT])
def test_the_inner_doors_refuse_a_certificate_of_a_foreign_authority(site: str, port: int, tmp_path: Path) -> None:
    origin = next(origin for origin, peer in PAIRS if peer == site)
    context = workload_context(origin, GATEWAY, tmp_path, Authority.foreign())
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
        knock(site, port, context)


@pytest.mark.parametrize(("origin", "peer"), PAIRS)
def test_no_sites_authority_can_vouch_for_the_gateway_of_another(origin: str, peer: str, tmp_path: Path) -> None:
    forger = next(site for site in SITES if site not in {origin, peer})
    context = workload_context(origin, GATEWAY, tmp_path, Authority.of_site(STATE / "pki", forger))
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
        knock(peer, PEER_PORT, context)


@pytest.mark.parametrize(("origin", "peer"), PAIRS)
def test_the_peers_door_serves_the_gateway_of_a_linked_site(origin: str, peer: str, tmp_path: Path) -> None:
    answer = knock(peer, PEER_PORT, workload_context(origin, GATEWAY, tmp_path))
    assert (answer.status_code, answer.headers["x-served-by"]) == (200, peer)


@pytest.mark.parametrize("workload", [
    "/ns/apps/sa/edgeapp",
    "/ns/spillover-system/sa/spillover-controller",
    "/ns/apps/sa/istio-ingressgateway-service-account",
    "/ns/istio-system/sa/istiod",
])  # fmt: skip
@pytest.mark.parametrize(("origin", "peer"), PAIRS)
def test_the_peers_door_refuses_an_ordinary_workload_of_a_linked_site(
    origin: str, peer: str, workload: str, tmp_path: Path
) -> None:
    answer = knock(peer, PEER_PORT, workload_context(origin, workload, tmp_path))
    assert answer.status_code == 403


@pytest.mark.parametrize("site", SITES)
def test_the_peers_door_refuses_the_sites_own_gateway(site: str, tmp_path: Path) -> None:
    answer = knock(site, PEER_PORT, workload_context(site, GATEWAY, tmp_path))
    assert answer.status_code == 403


@pytest.mark.parametrize(("workload", "status"), [
    ("/ns/spillover-system/sa/spillover-controller", 200),
    ("/ns/apps/sa/cloudapp", 403),
    (GATEWAY, 403),
])  # fmt: skip
@pytest.mark.parametrize("site", SITES)
def test_the_control_door_serves_the_controller_alone(site: str, workload: str, status: int, tmp_path: Path) -> None:
    context = workload_context("cloud", workload, tmp_path)
    answer = knock(site, CONTROL_PORT, context, "/demand", f"collector.{site}.spillover.internal")
    assert answer.status_code == status


def test_the_kubeconfig_is_the_owners_alone() -> None:
    assert KUBECONFIG.stat().st_mode & 0o777 == 0o600
