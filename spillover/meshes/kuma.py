"""Kuma's MeshHTTPRoute: the weights of one rule's backends.

Weights are whole numbers of 0 or more and relative to their sum; an absent one is 1. Destinations are Kuma's own
MeshServices. Rendered as Kuma 2 reads it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from spillover.meshes import weighted
from spillover.meshes.weighted import DEFAULT_TOTAL, Candidate, Route
from spillover.weights import check_total

if TYPE_CHECKING:
    from collections.abc import Mapping

API_VERSION = "kuma.io/v1alpha1"
KIND = "MeshHTTPRoute"

_SERVICE = r"(?:(?P<namespace>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)/)?(?P<name>[a-z0-9](?:[-a-z0-9_.]*[a-z0-9])?)"
_BACKEND = re.compile(rf"{_SERVICE}(?::(?P<port>\d{{1,5}}))?")
_HOST = re.compile(_SERVICE)


def render(
    name: str, namespace: str, host: str, destinations: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> dict[str, Any]:
    """Return a new MeshHTTPRoute, for all clients of the mesh named ``default``.

    Parameters
    ----------
    name, namespace : str
        Of the new object.
    host : str
        The MeshService that the clients call: ``[namespace/]service``.
    destinations : mapping of str to int
        Weight by MeshService, ``[namespace/]service[:port]``.
    total : int
        What the weights must sum to.

    Raises
    ------
    SpilloverError
        On a name that Kubernetes does not take, a host or a destination of another form, or wrong weights.
    """
    metadata = weighted.metadata_of(name, namespace)
    backends = [
        {"kind": "MeshService"}
        | weighted.parse("destination", key, _BACKEND, "[namespace/]service[:port]")
        | {"weight": weight}
        for key, weight in destinations.items()
    ]
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "default": {"backendRefs": backends},
    }
    called = {"kind": "MeshService"} | weighted.parse("host", host, _HOST, "[namespace/]service")
    spec = {"targetRef": {"kind": "Mesh"}, "to": [{"targetRef": called, "rules": [rule]}]}
    rendered = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
    return set_weights(rendered, destinations, total=total)[0]


def destination_key(backend: Mapping[str, Any]) -> str:
    """Name one backend: ``[Kind/][namespace/]name[:port][{tag=value,…}]``, with the kind if it is no MeshService."""
    kind = backend.get("kind", "MeshService")
    parts = ("" if kind == "MeshService" else kind, backend.get("namespace"), backend.get("name"))
    port = backend.get("port")
    tags = {**(backend.get("labels") or {}), **(backend.get("tags") or {})}
    listed = ",".join(f"{tag}={value}" for tag, value in sorted(tags.items()))
    key = "/".join(part for part in parts if part) + ("" if port is None else f":{port}")
    return f"{key}{{{listed}}}" if listed else key


def read_weights(mesh_route: Mapping[str, Any], rule: str | None = None) -> dict[str, int]:
    """Return the weights in force, by destination key and in the rule's own order; an absent one is 1.

    Parameters
    ----------
    mesh_route : mapping
        The object as the API server returns it.
    rule : str, optional
        ``to[index].rules[index]``; None means the only one that has backends.

    Raises
    ------
    SpilloverError
        If the rule cannot be told, two backends have the same key, or a weight is not a whole number.
    """
    return dict(_route(mesh_route, rule).weights)


def set_weights(
    mesh_route: Mapping[str, Any], weights: Mapping[str, int], rule: str | None = None, *, total: int = DEFAULT_TOTAL
) -> tuple[dict[str, Any], bool]:
    """Return a copy of the MeshHTTPRoute that has these weights, and whether it differs.

    Parameters
    ----------
    mesh_route : mapping
        The object as the API server returns it; it is not modified.
    weights : mapping of str to int
        Weight by destination key. Backends of the rule that are not named keep their weight.
    rule : str, optional
        See `read_weights`.
    total : int
        What the weights of the whole rule must sum to.

    Raises
    ------
    SpilloverError
        As `read_weights`, and on an unknown destination, a weight that is not a whole number of 0 or more, or a sum
        other than `total`.
    """
    check_total(total)
    return weighted.with_changes(mesh_route, _route(mesh_route, rule).changes(weights, total))


def json_patch(
    mesh_route: Mapping[str, Any], weights: Mapping[str, int], rule: str | None = None, *, total: int = DEFAULT_TOTAL
) -> list[dict[str, Any]]:
    """Return the JSON patch that sets the weights that differ, after a test of the version (see `weighted.patch`).

    Parameters and errors are those of `set_weights`; an object without resourceVersion is an error too.
    """
    check_total(total)
    found = _route(mesh_route, rule)
    return weighted.patch(mesh_route, found.label, found.changes(weights, total))


def _route(mesh_route: Mapping[str, Any], name: str | None) -> Route[int]:
    """Return the backends of the named or only rule."""
    label = weighted.describe(KIND, mesh_route)
    candidates = [
        Candidate(
            f"to[{to_index}].rules[{index}]",
            ("spec", "to", to_index, "rules", index, "default", "backendRefs"),
            rule["default"]["backendRefs"],
        )
        for to_index, to in enumerate((mesh_route.get("spec") or {}).get("to") or [])
        for index, rule in enumerate(to.get("rules") or [])
        if (rule.get("default") or {}).get("backendRefs")
    ]
    chosen = weighted.choose(label, candidates, name, noun="rule")
    keys = [destination_key(backend) for backend in chosen.items]
    weights = [
        weighted.read_weight(key, backend.get("weight", 1)) for key, backend in zip(keys, chosen.items, strict=True)
    ]
    return Route.of(label, chosen, keys, weights)
