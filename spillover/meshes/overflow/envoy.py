"""The shapes of EnvoyFilter patches and of the few Envoy messages that more than one object uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.meshes.overflow.site import Manifest

HTTP = "type.googleapis.com/envoy.extensions.filters.http"
MANAGER = "envoy.filters.network.http_connection_manager"
MANAGER_TYPE = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def envoy_filter(name: str, namespace: str, labels: Mapping[str, str], patches: list[Manifest]) -> Manifest:
    """Return an EnvoyFilter for the proxies with these labels."""
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"workloadSelector": {"labels": dict(labels)}, "configPatches": patches},
    }


def for_versions(manifest: Manifest, proxy_versions: str) -> Manifest:
    """Return an EnvoyFilter whose patches are for proxies of these Istio versions alone; other objects as they are."""
    if manifest["kind"] != "EnvoyFilter" or not proxy_versions:
        return manifest
    patches = [
        patch | {"match": patch["match"] | {"proxy": {"proxyVersion": proxy_versions}}}
        for patch in manifest["spec"]["configPatches"]
    ]
    return manifest | {"spec": manifest["spec"] | {"configPatches": patches}}


def http_filter(port: int, operation: str, value: Manifest) -> Manifest:
    """Return a patch that puts an HTTP filter at a gateway's port, in front of all others or just before the router."""
    chain: Manifest = {"filter": {"name": MANAGER}}
    if operation == "INSERT_BEFORE":
        chain["filter"]["subFilter"] = {"name": "envoy.filters.http.router"}
    return {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": {"portNumber": port, "filterChain": chain}},
        "patch": {"operation": operation, "value": value},
    }


def merge_into_host(what: str, port: int, host: str, value: Manifest) -> Manifest:
    """Return a patch that merges into a host of a gateway's port: into the host itself, or into each of its routes."""
    return {
        "applyTo": what,
        "match": {
            "context": "GATEWAY",
            "routeConfiguration": {"portNumber": port, "vhost": {"name": f"{host}:{port}"}},
        },
        "patch": {"operation": "MERGE", "value": value},
    }


def percent(numerator: int) -> Manifest:
    """Return a RuntimeFractionalPercent that no runtime key changes."""
    return {"default_value": {"numerator": numerator, "denominator": "HUNDRED"}}


def header(key: str, value: str) -> Manifest:
    """Return a HeaderValueOption that sets a header, whatever it was."""
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def local_reply(flags: list[str], headers: Mapping[str, str]) -> Manifest:
    """Return a mapper that sets headers on the proxy's own answers with one of these response flags."""
    return {
        "filter": {"response_flag_filter": {"flags": flags}},
        "headers_to_add": [header(key, value) for key, value in headers.items()],
    }
