"""What stands at the application: two ports with a limit each, and the mark of a refusal."""

from __future__ import annotations

from spillover.meshes.overflow import envoy
from spillover.meshes.overflow.site import (
    APPLICATION_PORT,
    LAST_LISTENER_PORT,
    LAST_PORT,
    REFUSED_HEADER,
    Manifest,
    OverflowSite,
)


def last_port(site: OverflowSite) -> Manifest:
    """Return home's second port: the same application behind a larger limit."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{site.application}-last", "namespace": site.namespace},
        "spec": {
            "selector": {"app": site.application},
            "ports": [{"name": site.protocol, "port": LAST_PORT, "targetPort": LAST_LISTENER_PORT}],
        },
    }


def inflight_limits(site: OverflowSite) -> Manifest:
    """Return the settings of the application's own proxy: a limit on the requests in flight at each of two ports."""

    def listener(port: int, name: str) -> Manifest:
        return {
            "port": {"number": port, "protocol": site.protocol.upper(), "name": f"{site.protocol}-{name}"},
            "defaultEndpoint": f"127.0.0.1:{APPLICATION_PORT}",
            "connectionPool": {"http": {"http2MaxRequests": 1}},
        }

    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": site.object_name, "namespace": site.namespace},
        "spec": {
            "workloadSelector": {"labels": {"app": site.application}},
            "ingress": [listener(APPLICATION_PORT, "home"), listener(LAST_LISTENER_PORT, "last")],
        },
    }


def refusals(site: OverflowSite) -> Manifest:
    """Return what lets the application's proxy mark its own refusals, so that they can be told from answers."""
    full = envoy.local_reply(["UO"], {REFUSED_HEADER: "full", "retry-after": str(site.retry_after_s)})
    # Its own container does not take the connection: not begun either, but no sign of a full site.
    down = envoy.local_reply(["UF"], {REFUSED_HEADER: "down"})
    merge = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": {"name": envoy.MANAGER}}}},
        "patch": {
            "operation": "MERGE",
            "value": {"typed_config": {"@type": envoy.MANAGER_TYPE, "local_reply_config": {"mappers": [full, down]}}},
        },
    }
    return envoy.envoy_filter(f"{site.object_name}-refusals", site.namespace, {"app": site.application}, [merge])
