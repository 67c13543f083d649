"""From the spec of a group to what its controller is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from spillover.controller.config import ControllerConfig, parse_config
from spillover.meshes import istio
from spillover.meshes.objects import ObjectRef
from spillover.meshes.overflow import numbered_objects
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spillover.groups.resource import GroupSpec, ServiceSpec, SiteSpec


class Claim(NamedTuple):
    """An object that one group at a time may write.

    Parameters
    ----------
    server : str
        The API server's address.
    ref : ObjectRef
        Which object there.
    """

    server: str
    ref: ObjectRef

    def __str__(self) -> str:
        """Return it as in a sentence."""
        return f"{self.ref} at {self.server}"


@dataclass(frozen=True, slots=True)
class Means:
    """What the daemon was given, by the names under which a spec may ask for it.

    Parameters
    ----------
    kubeconfigs : mapping of str to Path
        Files with access to sites.
    servers : mapping of str to str
        Address of the API server by name of the kubeconfig; one that is absent counts as a server of its own.
    sources : mapping of str to mapping
        Where a demand is read, as a site of `spillover.controller.config` says it: one of its sources.
    """

    kubeconfigs: Mapping[str, Path] = field(default_factory=dict)
    servers: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def translate(spec: GroupSpec, means: Means) -> ControllerConfig:
    """Return the configuration that the spec stands for.

    Parameters
    ----------
    spec
        What was asked.
    means
        What it may ask for.

    Raises
    ------
    SpilloverError
        If it asks for something else, or the configuration is one that `parse_config` refuses.
    """
    raw: dict[str, Any] = {
        "policy": spec.policy,
        "mode": spec.mode,
        "period_s": spec.period_seconds,
        "total": spec.total_weight,
        "settings": {
            "max_utilisation": spec.limits.max_utilisation,
            "cost_weight_ms": spec.cost_weight_ms,
            "on_missing": spec.on_missing,
        },
        "classes": [one.model_dump() for one in spec.classes],
        "sites": {site.name: _site(site, spec, means) for site in spec.sites},
        "links": [
            {"from": link.origin, "to": link.peer, "rtt_ms": link.rtt_ms, "cost": link.cost} for link in spec.links
        ],
    }
    if spec.window_seconds is not None:
        raw["window_s"] = spec.window_seconds
    return parse_config(raw, source="spec")


def claims(spec: GroupSpec, servers: Mapping[str, str]) -> frozenset[Claim]:
    """Return the objects that the spec's controller writes, and each application's VirtualService in any mode.

    Parameters
    ----------
    spec
        What was asked.
    servers
        As in `Means`.
    """
    found = set()
    for site in spec.sites:
        if site.access is not None and site.service is not None:
            server = servers.get(site.access.kubeconfig, site.access.kubeconfig)
            found |= {Claim(server, ref) for ref in _objects(site.service, spec.mode)}
    return frozenset(found)


def _objects(service: ServiceSpec, mode: str) -> set[ObjectRef]:
    route = ObjectRef(istio.API_VERSION, "virtualservices", service.namespace, service.name)
    return {route, *(numbered_objects(service.name, service.namespace) if mode == "overflow" else ())}


def _site(site: SiteSpec, spec: GroupSpec, means: Means) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "capacity_rpm": site.capacity_rpm,
        "servers": site.servers,
        "service_ms": site.service_ms,
        **_demand(site, means),
    }
    if site.access is None or site.service is None:
        return raw
    name = site.access.kubeconfig
    if name not in means.kubeconfigs:
        raise _unknown(f"sites.{site.name}.access.kubeconfig", name, means.kubeconfigs)
    raw["kubeconfig"] = means.kubeconfigs[name]
    place = {"namespace": site.service.namespace}
    if spec.mode == "overflow":
        raw["overflow"] = place | {"application": site.service.name, "identities": _identities(site, spec)}
    # In overflow mode for a site that cannot overflow, where the spec says how.
    if spec.mode == "weights" or None not in _keys(site, spec).values():
        raw["virtual_service"] = place | {"name": site.service.name, "route": site.service.route}
        raw["destinations"] = _destinations(site, spec)
    return raw


def _demand(site: SiteSpec, means: Means) -> Mapping[str, Any]:
    name = site.demand.source
    if name is None:
        return {"collector_url": site.demand.collector_url}
    if name not in means.sources:
        raise _unknown(f"sites.{site.name}.demand.source", name, means.sources)
    return means.sources[name]


def _unknown(field_name: str, name: str, known: Mapping[str, Any]) -> SpilloverError:
    names = ", ".join(sorted(known)) or "none"
    return SpilloverError(f"{field_name} must be one that the daemon has ({names}), got {name!r}")


def _identities(site: SiteSpec, spec: GroupSpec) -> dict[str, str]:
    """Return the identity of each origin whose guests the site may meet."""
    known = {other.name: other.identity for other in spec.sites}
    identities = {}
    for link in spec.links:
        if link.peer == site.name:
            identity = known.get(link.origin)
            if identity is None:
                raise SpilloverError(f"sites.{link.origin}.identity must be given where a link begins, got none")
            identities[link.origin] = identity
    return identities


def _keys(site: SiteSpec, spec: GroupSpec) -> dict[str, str | None]:
    """Return the keys in the site's VirtualService by site, None where the spec gives none."""
    own = site.service.destination if site.service is not None else None
    return {site.name: own} | {link.peer: link.destination for link in spec.links if link.origin == site.name}


def _destinations(site: SiteSpec, spec: GroupSpec) -> dict[str, str]:
    keys = _keys(site, spec)
    for name, key in keys.items():
        if key is None:
            raise SpilloverError(
                f"the destination of {name} in the VirtualService of {site.name} must be given, got none"
            )
    return {name: key for name, key in keys.items() if key is not None}
