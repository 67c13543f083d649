"""The Service Mesh Interface's TrafficSplit: the weights of the backends of one Service.

Weights are whole numbers of 0 or more, required, and relative to their sum. The Service Mesh Interface is archived; the
meshes that implement it differ in the version that they serve, and the part that is used here is the same in all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from spillover.meshes import weighted
from spillover.meshes.weighted import DEFAULT_TOTAL, Candidate, Route
from spillover.model import SpilloverError
from spillover.weights import check_total

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "split.smi-spec.io"
VERSIONS = ("v1alpha2", "v1alpha3", "v1alpha4")
"""In v1alpha1 a weight is a quantity and may be a string: it is not rendered."""

KIND = "TrafficSplit"

_SERVICE = re.compile(r"(?P<service>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)")
_ROOT = re.compile(r"(?P<service>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)")


def render(
    name: str,
    namespace: str,
    host: str,
    destinations: Mapping[str, int],
    *,
    total: int = DEFAULT_TOTAL,
    version: str = VERSIONS[-1],
) -> dict[str, Any]:
    """Return a new TrafficSplit.

    Parameters
    ----------
    name, namespace : str
        Of the new object.
    host : str
        The root service that the clients call, by its name or its full domain name.
    destinations : mapping of str to int
        Weight by Service of the same namespace, never the root itself; each must have the root's ports.
    total : int
        What the weights must sum to.
    version : str
        One of `VERSIONS`.

    Raises
    ------
    SpilloverError
        On a name that Kubernetes does not take, an unknown version, the root among the destinations, or wrong weights.
    """
    if version not in VERSIONS:
        raise SpilloverError(f"the version of a {KIND} must be one of {', '.join(VERSIONS)}, got {version!r}")
    if host in destinations:
        raise SpilloverError(f"the destinations of a {KIND} must not include its root service, got {host!r}")
    metadata = weighted.metadata_of(name, namespace)
    backends = [
        weighted.parse("destination", key, _SERVICE, "service") | {"weight": weight}
        for key, weight in destinations.items()
    ]
    spec = weighted.parse("host", host, _ROOT, "service") | {"backends": backends}
    rendered = {"apiVersion": f"{GROUP}/{version}", "kind": KIND, "metadata": metadata, "spec": spec}
    return set_weights(rendered, destinations, total=total)[0]


def destination_key(backend: Mapping[str, Any]) -> str:
    """Name one backend: its Service."""
    return str(backend.get("service"))


def read_weights(traffic_split: Mapping[str, Any]) -> dict[str, int]:
    """Return the weights in force, by Service and in the object's own order.

    Raises
    ------
    SpilloverError
        If the object has no backends, two of them have the same Service, or a weight is not a whole number.
    """
    return dict(_route(traffic_split).weights)


def set_weights(
    traffic_split: Mapping[str, Any], weights: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> tuple[dict[str, Any], bool]:
    """Return a copy of the TrafficSplit that has these weights, and whether it differs.

    Parameters
    ----------
    traffic_split : mapping
        The object as the API server returns it; it is not modified.
    weights : mapping of str to int
        Weight by Service. Backends that are not named keep their weight.
    total : int
        What the weights of all backends must sum to.

    Raises
    ------
    SpilloverError
        As `read_weights`, and on an unknown destination, a weight that is not a whole number of 0 or more, or a sum
        other than `total`.
    """
    check_total(total)
    return weighted.with_changes(traffic_split, _route(traffic_split).changes(weights, total))


def json_patch(
    traffic_split: Mapping[str, Any], weights: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> list[dict[str, Any]]:
    """Return the JSON patch that sets the weights that differ, after a test of the version (see `weighted.patch`).

    Parameters and errors are those of `set_weights`; an object without resourceVersion is an error too.
    """
    check_total(total)
    found = _route(traffic_split)
    return weighted.patch(traffic_split, found.label, found.changes(weights, total))


def _route(traffic_split: Mapping[str, Any]) -> Route[int]:
    label = weighted.describe(KIND, traffic_split)
    backends = (traffic_split.get("spec") or {}).get("backends") or []
    if not backends:
        raise SpilloverError(f"{label} has no backends")
    keys = [destination_key(backend) for backend in backends]
    weights = [weighted.read_weight(key, backend.get("weight")) for key, backend in zip(keys, backends, strict=True)]
    return Route.of(label, Candidate(None, ("spec", "backends"), backends), keys, weights)
