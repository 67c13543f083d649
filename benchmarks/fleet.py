"""What `many_sites.py` sets up: the objects at each site, what its fakes are told, the controller's configuration."""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from spillover.meshes import istio, overflow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spillover.model import Snapshot

SEED = 4
PERIOD_S, RTT_MS = 1.0, 5.0
SWING, SWING_S = 0.5, 15.0
"""Demand goes up and down by a half, once in some 2 * pi times so many seconds."""

APPLICATION, NAMESPACE, SYSTEM = "edgeapp", "apps", "spillover-system"
HOST = f"{APPLICATION}.example"


def peer_host(origin: str, site: str) -> str:
    """Return the destination of a site in the VirtualService of another."""
    return f"{APPLICATION}.{NAMESPACE}.svc.cluster.local" if site == origin else f"{APPLICATION}.{site}.peers.internal"


def identity(site: str) -> str:
    """Return what a site's gateway proves."""
    return f"spiffe://{site}.example/ns/istio-system/sa/istio-ingressgateway-service-account"


def around(snapshot: Snapshot, name: str) -> tuple[list[str], dict[str, str]]:
    """Return the peers of a site, and the identities of the origins that may spill to it."""
    peers = [link.peer for link in snapshot.links if link.origin == name]
    return peers, {link.origin: identity(link.origin) for link in snapshot.links if link.peer == name}


def objects_of(snapshot: Snapshot, name: str) -> dict[str, dict[str, Any]]:
    """Return what stands at a site before a controller comes, by path."""
    linked, origins = around(snapshot, name)
    peers = tuple(overflow.Peer(peer, "198.18.0.9", 30443, identity(peer)) for peer in linked)
    site = overflow.OverflowSite(APPLICATION, NAMESPACE, HOST, peers, origins)
    made = overflow.manifests(site, overflow.Numbers(None, 1, 2, identities=origins))
    weights = {peer_host(name, to): 100 if to == name else 0 for to in (name, *linked)}
    service = istio.render(APPLICATION, NAMESPACE, HOST, weights)
    service["spec"]["http"][0]["name"] = "spill"
    found = {}
    for manifest in (*made, service):
        metadata = manifest["metadata"]
        base = f"/apis/{manifest['apiVersion']}/namespaces/{metadata['namespace']}"
        plural = manifest["kind"].lower().removesuffix("y") + ("ies" if manifest["kind"].endswith("y") else "s")
        metadata |= {"resourceVersion": "1", "generation": 1, "managedFields": managed_fields(manifest)}
        found[f"{base}/{plural}/{metadata['name']}"] = manifest
    return found


def plan_of(snapshot: Snapshot, certificate: Path) -> dict[str, Any]:
    """Return what the fakes are told."""
    collectors = {
        site.name: {
            "demand_rps": site.demand_rps,
            "swing": SWING,
            "swing_s": SWING_S * (1.0 + index / len(snapshot.sites)),
            "service_s": (site.service_ms or 0.0) / 1000.0,
        }
        for index, site in enumerate(snapshot.sites.values())
    }
    servers: dict[str, Any] = {name: objects_of(snapshot, name) for name in snapshot.sites}
    told = {"collectors": collectors, "api_servers": servers | {SYSTEM: {}}, "certificate": str(certificate)}
    return told | {"seed": SEED, "rtt_ms": RTT_MS}


def config_of(
    snapshot: Snapshot, mode: str, collectors: Mapping[str, int], servers: Mapping[str, int], directory: Path
) -> dict[str, Any]:
    """Return the controller's configuration, having written its kubeconfigs into the directory."""
    authority = base64.b64encode((directory / "authority.pem").read_bytes()).decode()
    for name, port in servers.items():
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "site",
                    "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority},
                }
            ],
            "users": [{"name": "controller", "user": {"token": "nobody-looks-at-it"}}],
            "contexts": [{"name": "site", "context": {"cluster": "site", "user": "controller"}}],
            "current-context": "site",
        }
        (directory / name).write_text(yaml.safe_dump(document), encoding="utf-8")
    sites = {}
    for name, site in snapshot.sites.items():
        linked, origins = around(snapshot, name)
        sites[name] = {
            "capacity_rpm": 60.0 * site.capacity_rps,
            "servers": site.servers,
            "kubeconfig": str(directory / name),
            "collector_url": f"http://127.0.0.1:{collectors[name]}",
            "virtual_service": {"namespace": NAMESPACE, "name": APPLICATION, "route": "spill"},
            "destinations": {to: peer_host(name, to) for to in (name, *linked)},
            "overflow": {"application": APPLICATION, "namespace": NAMESPACE, "identities": origins},
        }
    leadership = {"namespace": SYSTEM, "name": "controller", "kubeconfig": str(directory / SYSTEM)}
    links = [{"from": link.origin, "to": link.peer, "rtt_ms": link.rtt_ms} for link in snapshot.links]
    return {"mode": mode, "period_s": PERIOD_S, "leadership": leadership, "sites": sites, "links": links}


def write_certificate(directory: Path) -> Path:
    """Write a certificate for loopback with its key, and alone as an authority; return the first."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api-server")])
    now, address = datetime.now(UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "authority.pem").write_bytes(public)
    (directory / "server.pem").write_bytes(public + private)
    return directory / "server.pem"


def managed_fields(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the bookkeeping that an API server adds to an object: as long as the object, and read each time."""
    fields = _fields({key: value for key, value in manifest.items() if key == "spec"})
    about = {"manager": "ansible", "operation": "Apply", "apiVersion": manifest["apiVersion"], "fieldsType": "FieldsV1"}
    return [about | {"time": "2026-11-24T02:00:00Z", "fieldsV1": fields}]


def _fields(value: Any) -> dict[str, Any]:
    return {f"f:{key}": _fields(part) for key, part in value.items()} if isinstance(value, dict) else {}
