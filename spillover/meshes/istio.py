"""Istio's VirtualService: the weights of one HTTP route, read and changed and nothing else touched.

Pure transforms of plain dictionaries: copy, change only the weights that differ, say whether anything changed.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from spillover.meshes import weighted
from spillover.meshes.weighted import DEFAULT_TOTAL, Candidate, Route
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "API_VERSION",
    "DEFAULT_TOTAL",
    "KIND",
    "destination_key",
    "json_patch",
    "read_weights",
    "render",
    "set_weights",
]

API_VERSION = "networking.istio.io/v1"
KIND = "VirtualService"

_HOST = re.compile(r"(?P<host>[^/:\s]+)")
_FORM = re.compile(r"(?P<host>[^/:\s]+)(?:/(?P<subset>[^/:\s]+))?(?::(?P<port>\d{1,5}))?")


def render(
    name: str, namespace: str, host: str, destinations: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> dict[str, Any]:
    """Return a new VirtualService that splits the requests for a host.

    Parameters
    ----------
    name, namespace : str
        Of the new object.
    host : str
        What the clients call.
    destinations : mapping of str to int
        Weight by ``host[/subset][:port]``.
    total : int
        What the weights must sum to.

    Raises
    ------
    SpilloverError
        On a name that Kubernetes does not take, a host or a destination of another form, or wrong weights.
    """
    metadata = weighted.metadata_of(name, namespace)
    entries = [{"destination": _destination(key), "weight": weight} for key, weight in destinations.items()]
    hosts = list(weighted.parse("host", host, _HOST, "host").values())
    spec = {"hosts": hosts, "http": [{"route": entries}]}
    rendered = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
    # A key may carry a port that the route does not need to tell its entries apart: position is what both share.
    own_keys = read_weights(rendered)
    return set_weights(rendered, dict(zip(own_keys, destinations.values(), strict=True)), total=total)[0]


def destination_key(route_destination: Mapping[str, Any], *, with_port: bool = False) -> str:
    """Name one entry of a route: ``host`` or ``host/subset``.

    Parameters
    ----------
    route_destination : mapping
        One item of ``spec.http[].route``.
    with_port : bool
        Append ``:port``, for the routes in which host and subset do not tell two entries apart.

    Raises
    ------
    SpilloverError
        If the entry has no ``destination.host``.
    """
    destination = route_destination.get("destination") or {}
    host = destination.get("host")
    if not host:
        raise SpilloverError(f"a destination of the VirtualService's route has no host: {dict(route_destination)}")
    subset = destination.get("subset")
    key = f"{host}/{subset}" if subset else str(host)
    number = (destination.get("port") or {}).get("number")
    return f"{key}:{number}" if with_port and number is not None else key


def read_weights(virtual_service: Mapping[str, Any], route: str | None = None) -> dict[str, int]:
    """Return the weights in force, by destination key and in the route's own order.

    An absent weight counts as Istio counts it: all of the traffic if the entry is the only one, else none.

    Parameters
    ----------
    virtual_service : mapping
        The object as the API server returns it.
    route : str, optional
        The ``name`` of the HTTP route; None means the only one that has destinations.

    Raises
    ------
    SpilloverError
        If the route cannot be told, or two of its entries cannot be told apart.
    """
    return dict(_route(virtual_service, route).weights)


def set_weights(
    virtual_service: Mapping[str, Any],
    weights: Mapping[str, int],
    route: str | None = None,
    *,
    total: int = DEFAULT_TOTAL,
) -> tuple[dict[str, Any], bool]:
    """Return a copy of the VirtualService that has these weights, and whether it differs.

    Parameters
    ----------
    virtual_service : mapping
        The object as the API server returns it; it is not modified.
    weights : mapping of str to int
        Weight by destination key. Destinations of the route that are not named keep their weight.
    route : str, optional
        See `read_weights`.
    total : int
        What the weights of the whole route must sum to.

    Raises
    ------
    SpilloverError
        On an unknown destination, a weight that is not a whole number of 0 or more, a sum other than `total`, or a
        route that cannot be told.
    """
    return weighted.with_changes(virtual_service, _route(virtual_service, route).changes(weights, total))


def json_patch(
    virtual_service: Mapping[str, Any],
    weights: Mapping[str, int],
    route: str | None = None,
    *,
    total: int = DEFAULT_TOTAL,
) -> list[dict[str, Any]]:
    """Return the JSON patch (RFC 6902) that sets the weights that differ; empty when none does.

    Its first operation tests the resourceVersion: list positions are only true for the object that was read.
    Parameters and errors are those of `set_weights`; an object without resourceVersion is an error too.
    """
    found = _route(virtual_service, route)
    return weighted.patch(virtual_service, found.label, found.changes(weights, total))


def _route(virtual_service: Mapping[str, Any], name: str | None) -> Route[int]:
    """Return the destinations of the named or only HTTP route."""
    label = weighted.describe(KIND, virtual_service)
    http = (virtual_service.get("spec") or {}).get("http") or []
    candidates = [
        Candidate(item.get("name"), ("spec", "http", index, "route"), item["route"])
        for index, item in enumerate(http)
        if item.get("route")
    ]
    chosen = weighted.choose(label, candidates, name)
    return Route.of(label, chosen, _keys(chosen.items), _effective(chosen.items))


def _keys(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the entries' keys, with the port only where two would be equal without it."""
    plain = [destination_key(entry) for entry in entries]
    count = Counter(plain)
    return [destination_key(entry, with_port=count[key] > 1) for entry, key in zip(entries, plain, strict=True)]


def _effective(entries: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the weights as Istio reads them: a single destination gets all, an absent weight is 0."""
    if len(entries) == 1:
        return [entries[0].get("weight") or DEFAULT_TOTAL]
    return [entry.get("weight") or 0 for entry in entries]


def _destination(key: str) -> dict[str, Any]:
    parts = weighted.parse("destination", key, _FORM, "host[/subset][:port]")
    return parts | ({"port": {"number": parts["port"]}} if "port" in parts else {})
