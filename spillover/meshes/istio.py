"""Istio's VirtualService: the weights of one HTTP route, read and changed and nothing else touched.

Pure transforms of plain dictionaries: copy, change only the weights that differ, say whether anything changed.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TOTAL = 100


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
    _, entries = _find_route(virtual_service, route)
    return dict(zip(_keys(virtual_service, entries), _effective(entries), strict=True))


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
    changed = _changes(virtual_service, weights, route, total)
    result = copy.deepcopy(dict(virtual_service))
    for (http_index, route_index), weight in changed.items():
        result["spec"]["http"][http_index]["route"][route_index]["weight"] = weight
    return result, bool(changed)


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
    changed = _changes(virtual_service, weights, route, total)
    if not changed:
        return []
    version = (virtual_service.get("metadata") or {}).get("resourceVersion")
    if not version:
        raise SpilloverError(f"{_label(virtual_service)} has no metadata.resourceVersion to test against")
    # "add" sets an object's member whether it exists or not.
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}] + [
        {"op": "add", "path": f"/spec/http/{http_index}/route/{route_index}/weight", "value": weight}
        for (http_index, route_index), weight in changed.items()
    ]


def _changes(
    virtual_service: Mapping[str, Any], weights: Mapping[str, int], route: str | None, total: int
) -> dict[tuple[int, int], int]:
    """Return the weights that differ, by (index in spec.http, index in its route)."""
    http_index, entries = _find_route(virtual_service, route)
    keys = _keys(virtual_service, entries)
    unknown = [key for key in weights if key not in keys]
    if unknown:
        known = ", ".join(keys)
        raise SpilloverError(f"unknown destination {unknown[0]!r}: {_label(virtual_service)} routes to {known}")
    for key, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            raise SpilloverError(f"the weight of {key!r} must be a whole number of 0 or more, got {weight!r}")
    before = dict(zip(keys, _effective(entries), strict=True))
    after = {**before, **weights}
    if sum(after.values()) != total:
        listed = ", ".join(f"{key}={weight}" for key, weight in after.items())
        raise SpilloverError(
            f"the weights of {_label(virtual_service)} must sum to {total}, got {sum(after.values())}: {listed}"
        )
    return {(http_index, index): after[key] for index, key in enumerate(keys) if after[key] != before[key]}


def _find_route(virtual_service: Mapping[str, Any], route: str | None) -> tuple[int, list[dict[str, Any]]]:
    """Return the index in spec.http and the destinations of the named or only route."""
    label = _label(virtual_service)
    http = (virtual_service.get("spec") or {}).get("http") or []
    routes = [(index, item) for index, item in enumerate(http) if item.get("route")]
    if not routes:
        raise SpilloverError(f"{label} has no HTTP route with destinations")
    names = ", ".join(str(item.get("name") or "(unnamed)") for _, item in routes)
    if route is not None:
        routes = [(index, item) for index, item in routes if item.get("name") == route]
        if not routes:
            raise SpilloverError(f"{label} has no HTTP route named {route!r}; it has {names}")
    if len(routes) > 1:
        raise SpilloverError(f"{label} has {len(routes)} HTTP routes that fit ({names}): name the one to change")
    index, item = routes[0]
    return index, item["route"]


def _keys(virtual_service: Mapping[str, Any], entries: list[dict[str, Any]]) -> list[str]:
    """Return the entries' keys, with the port only where two would be equal without it."""
    plain = [destination_key(entry) for entry in entries]
    count = Counter(plain)
    keys = [destination_key(entry, with_port=count[key] > 1) for entry, key in zip(entries, plain, strict=True)]
    twice = [key for key, number in Counter(keys).items() if number > 1]
    if twice:
        raise SpilloverError(
            f"{_label(virtual_service)} routes to {twice[0]!r} more than once, so its weights cannot be told apart"
        )
    return keys


def _effective(entries: list[dict[str, Any]]) -> list[int]:
    """Return the weights as Istio reads them: a single destination gets all, an absent weight is 0."""
    if len(entries) == 1:
        return [entries[0].get("weight") or DEFAULT_TOTAL]
    return [entry.get("weight") or 0 for entry in entries]


def _label(virtual_service: Mapping[str, Any]) -> str:
    metadata = virtual_service.get("metadata") or {}
    name = "/".join(part for part in (metadata.get("namespace"), metadata.get("name")) if part)
    return f"VirtualService {name or '(unnamed)'}"
