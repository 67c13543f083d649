"""The numbers of a site's proxies, told by a test instead of a controller."""

from __future__ import annotations

import time
from typing import Any

from lab_helpers import KUBECONFIG, LINKS, SITES

from spillover.clusters import Cluster
from spillover.meshes import overflow
from spillover.meshes.overflow import numbers

PLENTY = 1000


def identity(site: str) -> str:
    return f"spiffe://{SITES[site]['trust_domain']}/ns/istio-system/sa/istio-ingressgateway-service-account"


def peers(site: str) -> list[str]:
    return [link["to"] for link in LINKS if link["from"] == site]


def tell(site: str, *, application: str = "", **changes: Any) -> None:
    """Set a site's numbers, as the controller does; what is not said keeps everything at home and refuses nobody.

    The application is the lab's own unless another one is named.
    """
    origins = {link["from"]: identity(link["from"]) for link in LINKS if link["to"] == site}
    values: dict[str, Any] = {
        "bucket_rps": None,
        "inflight_limit": PLENTY,
        "last_limit": 2 * PLENTY,
        "peer_weights": dict.fromkeys(peers(site), 50),
        "grants_rps": dict.fromkeys(origins, float(PLENTY)),
        "identities": origins,
    }
    told = overflow.Numbers(**(values | changes))
    cluster = Cluster.from_kubeconfig(KUBECONFIG, site, timeout_s=10)
    for ref in overflow.numbered_objects(application or SITES[site]["workload"], "apps"):
        if patch := numbers.json_patch(cluster.get_object(ref), told):
            cluster.patch_numbers(ref, patch)


def effective() -> None:
    """Wait until what was told is in force everywhere: istiod waits 0.1 s for more, and a bucket must be full."""
    time.sleep(2)
