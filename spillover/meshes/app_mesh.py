"""AWS App Mesh's VirtualRouter: the weights of the targets of one of its routes.

On Kubernetes a route has no object of its own: it is an item of its VirtualRouter. Weights are required, whole numbers
from 0 to 100, relative to their sum, and that sum is at most 100. A VirtualService of the clients' host must name the
router as its provider; that is not rendered here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from spillover.meshes import weighted
from spillover.meshes.weighted import DEFAULT_TOTAL, Candidate, Route
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

API_VERSION = "appmesh.k8s.aws/v1beta2"
KIND = "VirtualRouter"
MOST = 100
"""The largest weight, and the largest sum of a route's weights."""

MOST_TARGETS = 10

_DNS = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_TARGET = re.compile(rf"(?:(?P<namespace>{_DNS})/)?(?P<name>{_DNS})(?::(?P<port>\d{{1,5}}))?")
_HOST = re.compile(rf"(?P<name>{_DNS}(?:\.{_DNS})*):(?P<port>\d{{1,5}})")
_ROUTE_KINDS = ("httpRoute", "http2Route", "grpcRoute", "tcpRoute")


def render(
    name: str, namespace: str, host: str, destinations: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> dict[str, Any]:
    """Return a new VirtualRouter with one route for all HTTP requests.

    Parameters
    ----------
    name, namespace : str
        Of the new object.
    host : str
        What the clients call: ``host:port``. The router listens on the port; the host is that of the VirtualService.
    destinations : mapping of str to int
        Weight by VirtualNode, ``[namespace/]node[:port]``.
    total : int
        What the weights must sum to, from 1 to 100.

    Raises
    ------
    SpilloverError
        On a name that Kubernetes does not take, a host or a destination of another form, or wrong weights.
    """
    metadata = weighted.metadata_of(name, namespace)
    weighted.check_count(f"{KIND} {namespace}/{name}", destinations, MOST_TARGETS)
    port = weighted.parse("host", host, _HOST, "host:port")["port"]
    targets = [_target(key) | {"weight": weight} for key, weight in destinations.items()]
    route = {
        "name": name,
        "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}},
    }
    spec = {"listeners": [{"portMapping": {"port": port, "protocol": "http"}}], "routes": [route]}
    rendered = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
    return set_weights(rendered, destinations, total=total)[0]


def destination_key(target: Mapping[str, Any]) -> str:
    """Name one target: ``[namespace/]node[:port]``, or its ARN in place of the node."""
    node = target.get("virtualNodeRef") or {}
    name = target.get("virtualNodeARN") or "/".join(
        part for part in (node.get("namespace"), str(node.get("name"))) if part
    )
    port = target.get("port")
    return name if port is None else f"{name}:{port}"


def read_weights(router: Mapping[str, Any], route: str | None = None) -> dict[str, int]:
    """Return the weights in force, by destination key and in the route's own order.

    Parameters
    ----------
    router : mapping
        The object as the API server returns it.
    route : str, optional
        The route's ``name``; None means the only one.

    Raises
    ------
    SpilloverError
        If the route cannot be told, two targets have the same key, or a weight is not a whole number.
    """
    return dict(_route(router, route).weights)


def set_weights(
    router: Mapping[str, Any], weights: Mapping[str, int], route: str | None = None, *, total: int = DEFAULT_TOTAL
) -> tuple[dict[str, Any], bool]:
    """Return a copy of the VirtualRouter that has these weights, and whether it differs.

    Parameters
    ----------
    router : mapping
        The object as the API server returns it; it is not modified.
    weights : mapping of str to int
        Weight by destination key. Targets of the route that are not named keep their weight.
    route : str, optional
        See `read_weights`.
    total : int
        What the weights of the whole route must sum to, from 1 to 100.

    Raises
    ------
    SpilloverError
        As `read_weights`, and on an unknown destination, a weight that is not a whole number of 0 or more, a total
        above 100, or a sum other than `total`.
    """
    _check_total(total)
    return weighted.with_changes(router, _route(router, route).changes(weights, total))


def json_patch(
    router: Mapping[str, Any], weights: Mapping[str, int], route: str | None = None, *, total: int = DEFAULT_TOTAL
) -> list[dict[str, Any]]:
    """Return the JSON patch that sets the weights that differ, after a test of the version (see `weighted.patch`).

    Parameters and errors are those of `set_weights`; an object without resourceVersion is an error too.
    """
    _check_total(total)
    found = _route(router, route)
    return weighted.patch(router, found.label, found.changes(weights, total))


def _check_total(total: object) -> None:
    if isinstance(total, bool) or not isinstance(total, int) or not 1 <= total <= MOST:
        raise SpilloverError(f"total must be a whole number from 1 to {MOST} for a {KIND}, got {total!r}")


def _target(key: str) -> dict[str, Any]:
    parts = weighted.parse("destination", key, _TARGET, "[namespace/]node[:port]")
    node = {part: parts[part] for part in ("namespace", "name") if part in parts}
    return {"virtualNodeRef": node} | ({"port": parts["port"]} if "port" in parts else {})


def _route(router: Mapping[str, Any], name: str | None) -> Route[int]:
    """Return the targets of the named or only route."""
    label = weighted.describe(KIND, router)
    candidates = [
        Candidate(
            item.get("name"),
            ("spec", "routes", index, kind, "action", "weightedTargets"),
            item[kind]["action"]["weightedTargets"],
        )
        for index, item in enumerate((router.get("spec") or {}).get("routes") or [])
        for kind in _ROUTE_KINDS
        if ((item.get(kind) or {}).get("action") or {}).get("weightedTargets")
    ]
    chosen = weighted.choose(label, candidates, name, noun="route")
    keys = [destination_key(target) for target in chosen.items]
    weights = [weighted.read_weight(key, target.get("weight")) for key, target in zip(keys, chosen.items, strict=True)]
    return Route.of(label, chosen, keys, weights)
