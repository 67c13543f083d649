"""The meshes by name: whom to ask for the manifest of a decision.

Several meshes may share a module: the Service Mesh Interface's TrafficSplit differs by the version that a mesh serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from spillover.meshes import app_mesh, consul, gateway_api, istio, kuma, linkerd, smi
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Render(Protocol):
    """The function ``render`` of a mesh's module."""

    def __call__(
        self, name: str, namespace: str, host: str, destinations: Mapping[str, int], *, total: int = ...
    ) -> dict[str, Any]:
        """Return a new object."""
        ...


@dataclass(frozen=True, slots=True)
class Mesh:
    """What a user of one mesh has to know.

    Parameters
    ----------
    render : Render
        Makes the object.
    host : str
        The form of the host.
    destination : str
        The form of a destination's key.
    """

    render: Render
    host: str
    destination: str


_SMI_FORMS = ("service", "service")

MESHES: Mapping[str, Mesh] = {
    "istio": Mesh(istio.render, "host", "host[/subset][:port]"),
    "gateway-api": Mesh(gateway_api.render, "service[:port]", "[namespace/]service:port"),
    "linkerd": Mesh(linkerd.render, "service:port", "[namespace/]service:port"),
    "linkerd-smi": Mesh(partial(smi.render, version="v1alpha2"), *_SMI_FORMS),
    "open-service-mesh": Mesh(partial(smi.render, version="v1alpha2"), *_SMI_FORMS),
    "traefik-mesh": Mesh(partial(smi.render, version="v1alpha3"), *_SMI_FORMS),
    "smi": Mesh(smi.render, *_SMI_FORMS),
    "consul": Mesh(consul.render, "service (and the object's name)", "service[/subset]"),
    "kuma": Mesh(kuma.render, "[namespace/]service", "[namespace/]service[:port]"),
    "app-mesh": Mesh(app_mesh.render, "host:port", "[namespace/]node[:port]"),
}


def get(name: str) -> Mesh:
    """Return a mesh by its name; SpilloverError lists the names."""
    if name not in MESHES:
        raise SpilloverError(f"mesh must be one of {', '.join(MESHES)}, got {name!r}")
    return MESHES[name]
