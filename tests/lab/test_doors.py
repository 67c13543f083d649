"""The gateways' doors, on the standing lab: who may enter, and what becomes of a request."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import pytest
import yaml

pytestmark = pytest.mark.lab

HOST = {"Host": "edgeapp.example"}
ADDRESSES = {
    name: site["address"]
    for name, site in yaml.safe_load(
        (Path(__file__).parents[2] / "inventory/lab/group_vars/all/sites.yml").read_text()
    )["spillover_sites"].items()
}


@pytest.mark.parametrize("site", ADDRESSES)
def test_a_client_is_served(site: str) -> None:
    answer = httpx.get(f"http://{ADDRESSES[site]}:30080/healthz", headers=HOST, timeout=10)
    assert answer.status_code == 200


def _ask_without_a_certificate(address: str, port: int, name: str) -> bytes:
    """Shake hands and ask; TLS 1.3 tells of a missing certificate only after the handshake, so the read decides."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((address, port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=name) as secured,
    ):
        secured.sendall(b"GET /healthz HTTP/1.1\r\nHost: edgeapp.example\r\n\r\n")
        return secured.recv(1)


@pytest.mark.parametrize("site", ADDRESSES)
@pytest.mark.parametrize("port", [30443, 30444])
def test_the_inner_doors_refuse_who_has_no_certificate(site: str, port: int) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _ask_without_a_certificate(ADDRESSES[site], port, f"{site}.peers.internal")


def test_the_kubeconfig_is_the_owners_alone() -> None:
    assert Path("/var/lib/spillover/kubeconfig").stat().st_mode & 0o777 == 0o600
