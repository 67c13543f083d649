"""From a policy's decision to the numbers of one site's proxies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spillover.meshes.overflow.numbers import Numbers
from spillover.model import GRANT_BURST
from spillover.weights import to_integers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.model import Decision, Site

LONGEST_WAIT_S = 2.0
"""What a request may find in front of it at home when nobody else took it: beyond this it is refused at once."""

_TOTAL = 100


def numbers_for(
    decision: Decision, site: Site, identities: Mapping[str, str], *, gateways: int = 1, replicas: int = 1
) -> Numbers:
    """Return what each proxy of a site enforces so that all of them together enforce the decision.

    Parameters
    ----------
    decision
        Of any policy; what it does not decide is left open.
    site
        The site as the policy saw it.
    identities
        SPIFFE identity of the gateway of each site that may spill here, by site.
    gateways, replicas
        Gateways of the site, among which rates are divided, and replicas of the application, among which limits are.
    """
    bucket_rps = decision.bucket_rps.get(site.name)
    if decision.trigger.get(site.name) == "inflight":  # only a full home is a reason to leave it
        bucket_rps = None
    limit = max(1, round(decision.inflight_limit[site.name] / replicas))
    queue = math.ceil(LONGEST_WAIT_S * min(site.capacity_rps, site.saturation_rps) / replicas)
    grants = decision.grants_rps.get(site.name, {})
    return Numbers(
        bucket_rps=None if bucket_rps is None else bucket_rps / gateways,
        inflight_limit=limit,
        last_limit=limit + max(1, queue),
        peer_weights=peer_weights(decision, site.name),
        grants_rps={origin: rate_rps / gateways for origin, rate_rps in grants.items()},
        identities=identities,
        grant_burst=GRANT_BURST,
    )


def peer_weights(decision: Decision, origin: str) -> dict[str, int]:
    """Return the weights among an origin's peers: as decided, or by what each would take while nothing is spilled."""
    decided = decision.spill_weights.get(origin) or decision.weights[origin]
    weights = {peer: weight for peer, weight in decided.items() if peer != origin and weight > 0}
    if weights:
        return weights
    granted = {peer: grants[origin] for peer, grants in decision.grants_rps.items() if grants.get(origin, 0.0) > 0.0}
    return to_integers(granted, _TOTAL, tie_order=sorted(granted)) if granted else {}
