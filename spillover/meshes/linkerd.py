"""Linkerd's HTTPRoute: the Gateway API's, in Linkerd's own API group.

The weights are those of `spillover.meshes.gateway_api`. Linkerd heeds the route only while no ServiceProfile exists for
the same Service.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from spillover.meshes import weighted
from spillover.meshes.gateway_api import KIND, destination_key, json_patch, read_weights, render_route, set_weights
from spillover.meshes.weighted import DEFAULT_TOTAL

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["API_VERSION", "KIND", "destination_key", "json_patch", "read_weights", "render", "set_weights"]

API_VERSION = "policy.linkerd.io/v1beta3"

_HOST = re.compile(r"(?P<name>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?):(?P<port>\d{1,5})")


def render(
    name: str, namespace: str, host: str, destinations: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> dict[str, Any]:
    """Return a new HTTPRoute that splits the requests for a port of a Service of its namespace.

    ``host`` is ``service:port``; the other parameters and the errors are those of `gateway_api.render`.
    """
    # The default group of a parent is Linkerd's own, and "core" is its name for that of a Service.
    parent = {"group": "core", "kind": "Service"} | weighted.parse("host", host, _HOST, "service:port")
    return render_route(API_VERSION, weighted.metadata_of(name, namespace), parent, destinations, total)
