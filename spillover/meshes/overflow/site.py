"""One application at one site, as the fast clock needs to know it, and the names that its objects share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from spillover.meshes.objects import ObjectRef
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.classes import RequestClass

Manifest = dict[str, Any]

GATEWAY_NAMESPACE = "istio-system"
GATEWAY_LABELS = {"istio": "ingressgateway"}
CLIENT_PORT, PEER_PORT = 8080, 8443
HOME_PORT, LAST_PORT = 80, 81
APPLICATION_PORT, LAST_LISTENER_PORT = 8080, 8081

PING_INTERVAL_MS = 300
"""Between two pings to a peer's gateway."""

_LEAST = {"connect_timeout_ms": 1, "peer_silence_ms": 1, "largest_body_bytes": 0, "retry_after_s": 1}

REFUSED_HEADER = "x-spillover-refused"
"""On an answer: one of our own proxies refused the request, so it may go on to somebody else."""

RETRY_AFTER_S = 1
"""What a client is told that nobody could serve."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A site that this one may spill to.

    Parameters
    ----------
    name : str
        The site's name.
    address : str
        Where its peers' door is reached.
    port : int
        And at which port.
    identity : str
        SPIFFE identity that its gateway must prove.
    """

    name: str
    address: str
    port: int
    identity: str


@dataclass(frozen=True, slots=True)
class OverflowSite:
    """One application at one site, and the sites around it.

    Parameters
    ----------
    application, namespace : str
        The application's Deployment and Service.
    host : str
        Host header of its requests.
    peers : tuple of Peer
        In any order; what weight each has is a number.
    origins : mapping of str to str
        SPIFFE identity of the gateway of each site that may spill here, by site.
    connect_timeout_ms : int
        How long a dead peer may keep a request waiting for a connection.
    peer_silence_ms : int
        A peer whose gateway leaves a ping unanswered for so long is dead: what is under way there is cut, and
        new requests go elsewhere. Pings go out every `PING_INTERVAL_MS`.
    largest_body_bytes : int
        A larger body stays at home: the proxy holds what it may have to send again.
    retry_after_s : int
        What a client is told that nobody could serve.
    protocol : str
        What the application speaks on its port: "http" (HTTP/1.1, WebSocket) or "grpc" (HTTP/2 without TLS).
    proxy_versions : str
        Regular expression of the Istio versions whose proxies get the filters; empty for all. A proxy of another
        version serves everything at home until somebody has looked at it.
    classes : tuple of RequestClass
        What the clients' door counts apart, the most important first; the same for all applications of a gateway.
    """

    application: str
    namespace: str
    host: str
    peers: tuple[Peer, ...]
    origins: Mapping[str, str] = field(default_factory=dict)
    connect_timeout_ms: int = 250
    peer_silence_ms: int = 700
    largest_body_bytes: int = 1 << 20
    retry_after_s: int = RETRY_AFTER_S
    protocol: Literal["http", "grpc"] = "http"
    proxy_versions: str = ""
    classes: tuple[RequestClass, ...] = ()

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SpilloverError(f"{name} must be a whole number from {least} on, got {value!r}")

    @property
    def service(self) -> str:
        """The application's name in its cluster."""
        return f"{self.application}.{self.namespace}.svc.cluster.local"

    @property
    def peers_host(self) -> str:
        """Name of the one cluster of all peers."""
        return f"{self.application}.peers.internal"

    @property
    def object_name(self) -> str:
        """Name of the objects that are this application's."""
        return f"spillover-{self.application}"


def numbered_objects(application: str, namespace: str) -> tuple[ObjectRef, ...]:
    """Name the objects of an application that hold numbers."""
    name = f"spillover-{application}"
    return (
        ObjectRef("networking.istio.io/v1", "sidecars", namespace, name),
        ObjectRef("networking.istio.io/v1", "serviceentries", GATEWAY_NAMESPACE, name),
        ObjectRef("networking.istio.io/v1alpha3", "envoyfilters", GATEWAY_NAMESPACE, f"{name}-attempts"),
        ObjectRef("networking.istio.io/v1alpha3", "envoyfilters", GATEWAY_NAMESPACE, f"{name}-grants"),
    )
