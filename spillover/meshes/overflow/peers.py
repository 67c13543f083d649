"""The way to the peers: one cluster with an endpoint a peer."""

from __future__ import annotations

from spillover.meshes.overflow.site import GATEWAY_NAMESPACE, Manifest, OverflowSite


def endpoints(site: OverflowSite) -> Manifest:
    """Return all peers as the endpoints of one cluster, so that a retry can leave out the one that was tried."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": site.object_name, "namespace": GATEWAY_NAMESPACE},
        "spec": {
            "hosts": [site.peers_host],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "ports": [{"number": 443, "name": "http", "protocol": "HTTP"}],
            "endpoints": [
                {"address": peer.address, "ports": {"http": peer.port}, "labels": {"site": peer.name}, "weight": 1}
                for peer in site.peers
            ],
        },
    }


def policy(site: OverflowSite) -> Manifest:
    """Return how the peers are spoken to: mutual TLS with their gateways, HTTP/2, a dead one left out for a while.

    Refusals must not eject a peer, so answers do not count, only connections; and when all are ejected they are all
    tried again (minHealthPercent): "no healthy upstream" would not be retried, and home would not get its turn.
    """
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": site.object_name, "namespace": GATEWAY_NAMESPACE},
        "spec": {
            "host": site.peers_host,
            "trafficPolicy": {
                "loadBalancer": {"simple": "ROUND_ROBIN"},
                "connectionPool": {
                    "tcp": {"connectTimeout": f"{site.connect_timeout_ms}ms"},
                    "http": {"h2UpgradePolicy": "UPGRADE"},
                },
                "outlierDetection": {
                    "consecutive5xxErrors": 0,
                    "splitExternalLocalOriginErrors": True,
                    "consecutiveLocalOriginFailures": 2,
                    "interval": "1s",
                    "baseEjectionTime": "5s",
                    "maxEjectionPercent": 100,
                    "minHealthPercent": 1,
                },
                "tls": {
                    "mode": "ISTIO_MUTUAL",
                    "sni": site.peers_host,
                    "subjectAltNames": sorted(peer.identity for peer in site.peers),
                },
            },
        },
    }
