"""The Gateway API's HTTPRoute: the weights of one rule's backends.

Weights are whole numbers from 0 to a million and relative to their sum; an absent one is 1. For a mesh the route's
parent is the Service that the clients call. A backend's port is required where the backend is a Service.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from spillover.meshes import weighted
from spillover.meshes.weighted import DEFAULT_TOTAL, Candidate, Route
from spillover.weights import check_total

if TYPE_CHECKING:
    from collections.abc import Mapping

API_VERSION = "gateway.networking.k8s.io/v1"
KIND = "HTTPRoute"
MOST_BACKENDS = 16

_DNS = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_BACKEND = re.compile(rf"(?:(?P<namespace>{_DNS})/)?(?P<name>{_DNS}):(?P<port>\d{{1,5}})")
_HOST = re.compile(rf"(?P<name>{_DNS})(?::(?P<port>\d{{1,5}}))?")


def render(
    name: str, namespace: str, host: str, destinations: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> dict[str, Any]:
    """Return a new HTTPRoute that splits the requests for a Service of its namespace.

    Parameters
    ----------
    name, namespace : str
        Of the new object.
    host : str
        The Service that the clients call: ``service[:port]``; without a port, all of its ports.
    destinations : mapping of str to int
        Weight by ``[namespace/]service:port``.
    total : int
        What the weights must sum to.

    Raises
    ------
    SpilloverError
        On a name that Kubernetes does not take, a host or a destination of another form, or wrong weights.
    """
    parent = {"group": "", "kind": "Service"} | weighted.parse("host", host, _HOST, "service[:port]")
    return render_route(API_VERSION, weighted.metadata_of(name, namespace), parent, destinations, total)


def render_route(
    api_version: str, metadata: dict[str, str], parent: Mapping[str, Any], destinations: Mapping[str, int], total: int
) -> dict[str, Any]:
    """Return a new HTTPRoute of this API version, with one rule for all requests to the parent (see `render`)."""
    weighted.check_count(weighted.describe(KIND, {"metadata": metadata}), destinations, MOST_BACKENDS)
    backends = [
        weighted.parse("destination", key, _BACKEND, "[namespace/]service:port") | {"weight": weight}
        for key, weight in destinations.items()
    ]
    spec = {"parentRefs": [dict(parent)], "rules": [{"backendRefs": backends}]}
    rendered = {"apiVersion": api_version, "kind": KIND, "metadata": metadata, "spec": spec}
    return set_weights(rendered, destinations, total=total)[0]


def destination_key(backend: Mapping[str, Any]) -> str:
    """Name one backend: ``[Kind/][namespace/]name[:port]``, with the kind if it is no Service."""
    kind = backend.get("kind", "Service")
    parts = ("" if kind == "Service" else kind, backend.get("namespace"), str(backend.get("name")))
    port = backend.get("port")
    return "/".join(part for part in parts if part) + ("" if port is None else f":{port}")


def read_weights(http_route: Mapping[str, Any], rule: str | None = None) -> dict[str, int]:
    """Return the weights in force, by destination key and in the rule's own order; an absent one is 1.

    Parameters
    ----------
    http_route : mapping
        The object as the API server returns it.
    rule : str, optional
        The rule's ``name``, or ``rules[index]`` if it has none; None means the only one that has backends.

    Raises
    ------
    SpilloverError
        If the rule cannot be told, two backends have the same key, or a weight is not a whole number.
    """
    return dict(_route(http_route, rule).weights)


def set_weights(
    http_route: Mapping[str, Any], weights: Mapping[str, int], rule: str | None = None, *, total: int = DEFAULT_TOTAL
) -> tuple[dict[str, Any], bool]:
    """Return a copy of the HTTPRoute that has these weights, and whether it differs.

    Parameters
    ----------
    http_route : mapping
        The object as the API server returns it; it is not modified.
    weights : mapping of str to int
        Weight by destination key. Backends of the rule that are not named keep their weight.
    rule : str, optional
        See `read_weights`.
    total : int
        What the weights of the whole rule must sum to, from 1 to a million.

    Raises
    ------
    SpilloverError
        As `read_weights`, and on an unknown destination, a weight that is not a whole number of 0 or more, or a sum
        other than `total`.
    """
    check_total(total)
    return weighted.with_changes(http_route, _route(http_route, rule).changes(weights, total))


def json_patch(
    http_route: Mapping[str, Any], weights: Mapping[str, int], rule: str | None = None, *, total: int = DEFAULT_TOTAL
) -> list[dict[str, Any]]:
    """Return the JSON patch that sets the weights that differ, after a test of the version (see `weighted.patch`).

    Parameters and errors are those of `set_weights`; an object without resourceVersion is an error too.
    """
    check_total(total)
    found = _route(http_route, rule)
    return weighted.patch(http_route, found.label, found.changes(weights, total))


def _route(http_route: Mapping[str, Any], name: str | None) -> Route[int]:
    """Return the backends of the named or only rule."""
    label = weighted.describe(KIND, http_route)
    rules = (http_route.get("spec") or {}).get("rules") or []
    candidates = [
        Candidate(rule.get("name") or f"rules[{index}]", ("spec", "rules", index, "backendRefs"), rule["backendRefs"])
        for index, rule in enumerate(rules)
        if rule.get("backendRefs")
    ]
    chosen = weighted.choose(label, candidates, name, noun="rule")
    keys = [destination_key(backend) for backend in chosen.items]
    weights = [
        weighted.read_weight(key, backend.get("weight", 1)) for key, backend in zip(keys, chosen.items, strict=True)
    ]
    return Route.of(label, chosen, keys, weights)
