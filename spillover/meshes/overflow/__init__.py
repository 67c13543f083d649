"""Istio objects of the fast clock: the proxy itself spills the first request too many.

What a request meets at its origin's clients' door:

1. our own headers are taken off what the client sent;
2. a token bucket, filled at the rate that the site should keep. Without a token the request is marked, not refused;
3. a mark changes the order of attempts from *home, peers, last* to *peers, last*; a body that is too large to be
   sent twice goes to *last* alone;
4. the route: one attempt at each group of the order. Home is the application's ordinary port, behind the in-flight
   limit; the peers are one cluster with an endpoint each, so that each is tried once and a dead one is left out; last
   is home again, behind a second, larger limit that bounds its queue.

Only what our own proxies refused goes on to the next attempt, which their mark shows; an application's own 429 or 503
passes. At the peers' door each origin, known by its certificate, has a bucket of its own: the grant.

Everything here is pure. The numbers that a controller changes are read and written by
`spillover.meshes.overflow.numbers`; nothing else in these objects changes once they are made. The type
``priority_group`` is unknown to istiod and therefore wrapped in a TypedStruct.
"""

from __future__ import annotations

from spillover.meshes.overflow import application, envoy, gateway, peers
from spillover.meshes.overflow.decided import numbers_for
from spillover.meshes.overflow.numbers import Numbers, keeping_numbers, with_numbers
from spillover.meshes.overflow.site import Manifest, OverflowSite, Peer, numbered_objects
from spillover.meshes.overflow.support import Proxy, proxy_of
from spillover.meshes.overflow.updates import POLL_S, Rejected, UpdateCounts, update_counts, watch

__all__ = [
    "POLL_S",
    "Manifest",
    "Numbers",
    "OverflowSite",
    "Peer",
    "Proxy",
    "Rejected",
    "UpdateCounts",
    "keeping_numbers",
    "manifests",
    "numbered_objects",
    "numbers_for",
    "proxy_of",
    "update_counts",
    "watch",
]


def manifests(site: OverflowSite, numbers: Numbers) -> list[Manifest]:
    """Return every object of the fast clock at one site, the numbers filled in.

    Parameters
    ----------
    site
        The application and its surroundings.
    numbers
        Rates, limits and weights, already divided by the replicas of what enforces them.
    """
    objects = [
        application.last_port(site),
        application.inflight_limits(site),
        application.refusals(site),
        peers.endpoints(site),
        peers.policy(site),
        gateway.doors(site),
        gateway.routes(site),
        gateway.attempts(site),
        gateway.grants(site),
    ]
    return [with_numbers(envoy.for_versions(manifest, site.proxy_versions), numbers) for manifest in objects]
