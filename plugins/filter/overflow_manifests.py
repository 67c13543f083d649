"""Ansible filter: the Istio objects of the fast clock for one application at one site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

try:
    from spillover import policies
    from spillover.classes import parse_classes
    from spillover.meshes import overflow
    from spillover.model import Link, Site, Snapshot, SpilloverError
except ImportError as error:
    _MISSING: ImportError | None = error
else:
    _MISSING = None

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DOCUMENTATION = """
name: overflow_manifests
author: Spillover contributors
version_added: "0.1.0"
short_description: The Istio objects of the fast clock
description:
  - Returns what makes the proxies of a site spill by themselves.
  - The numbers are what the policy C(cooperative) decides for sites that nobody has asked anything of yet. A controller
    changes these numbers afterwards, and nothing else.
requirements: [spillover]
options:
  _input:
    description: The site's name.
    type: str
    required: true
  sites:
    description:
      - All sites by name, each with C(address), C(trust_domain), C(workload), C(capacity_rpm) and C(servers).
    type: dict
    required: true
  links:
    description: Directed links between them, each with C(from), C(to), C(rtt_ms) and perhaps C(cost).
    type: list
    elements: dict
    required: true
  application:
    description:
      - C(host), the Host header of its requests; C(namespace); C(peer_port), the port of every site's peers' door; and
        perhaps C(protocol), what it speaks, C(http) or C(grpc), C(proxy_versions), as C(overflow_support) says, and
        C(classes), the classes of requests that are counted apart; besides C(connect_timeout_ms), C(peer_silence_ms),
        C(largest_body_bytes) and C(retry_after_s), as the role C(workload) says.
    type: dict
    required: true
  in_force:
    description: Objects as the API server returns them; the numbers of those among them that are the site's are kept.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = """
- kubernetes.core.k8s:
    apply: true
    definition: "{{ 'edge1' | overflow_manifests(spillover_sites, spillover_links, application) }}"
  vars:
    application: {host: edgeapp.example, namespace: apps, peer_port: 30443}
"""

RETURN = """
_value:
  description: The objects.
  type: list
  elements: dict
"""

_SETTINGS = ("connect_timeout_ms", "peer_silence_ms", "largest_body_bytes", "retry_after_s")
_GATEWAY = "/ns/istio-system/sa/istio-ingressgateway-service-account"


def overflow_manifests(
    site: str,
    sites: Mapping[str, Mapping[str, Any]],
    links: Sequence[Mapping[str, Any]],
    application: Mapping[str, Any],
    in_force: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return the objects of the fast clock at ``site``; AnsibleFilterError with the package's own sentence."""
    if _MISSING is not None:
        raise AnsibleFilterError(f"overflow_manifests: the Python package spillover is missing: {_MISSING}")
    try:
        made = _manifests(site, sites, links, application)
    except SpilloverError as error:
        raise AnsibleFilterError(f"overflow_manifests: {error}") from error
    except KeyError as error:
        raise AnsibleFilterError(
            f"overflow_manifests: {error} is missing among the settings of the sites, links or the application"
        ) from error
    stored = {_key(manifest): manifest for manifest in in_force}
    return [
        overflow.keeping_numbers(manifest, stored[_key(manifest)]) if _key(manifest) in stored else manifest
        for manifest in made
    ]


def _key(manifest: Mapping[str, Any]) -> tuple[str, str, str]:
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _plain(value: Any) -> Any:
    """Return Ansible's lists and mappings, which hold promises of their values, as ones that hold the values."""
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _manifests(
    site: str,
    sites: Mapping[str, Mapping[str, Any]],
    links: Sequence[Mapping[str, Any]],
    application: Mapping[str, Any],
) -> list[dict[str, Any]]:
    known = {name: Site(name, one["capacity_rpm"] / 60, servers=one.get("servers", 1)) for name, one in sites.items()}
    ways = tuple(Link(one["from"], one["to"], one.get("rtt_ms", 0.0), one.get("cost", 0.0)) for one in links)
    identities = {name: f"spiffe://{one['trust_domain']}{_GATEWAY}" for name, one in sites.items()}
    decision, _ = policies.get("cooperative")(Snapshot(known, ways), None, total=100)
    origins = {link.origin: identities[link.origin] for link in ways if link.peer == site}
    here = overflow.OverflowSite(
        application=sites[site]["workload"],
        namespace=application["namespace"],
        host=application["host"],
        peers=tuple(
            overflow.Peer(link.peer, sites[link.peer]["address"], application["peer_port"], identities[link.peer])
            for link in ways
            if link.origin == site
        ),
        origins=origins,
        protocol=application.get("protocol", "http"),
        proxy_versions=application.get("proxy_versions", ""),
        classes=parse_classes(_plain(application.get("classes", []))),
        **{name: application[name] for name in _SETTINGS if name in application},
    )
    return overflow.manifests(here, overflow.numbers_for(decision, known[site], origins))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"overflow_manifests": overflow_manifests}
