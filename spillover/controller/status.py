"""What the controller knows and wants at its last decision, as one JSON document. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.controller.snapshot import SiteView
    from spillover.policies.distance import Distance


def status_document(
    config: ControllerConfig,
    views: Mapping[str, SiteView],
    weights: Mapping[str, Mapping[str, int] | None],
    reasons: Mapping[str, str],
    distance: Distance | None,
    *,
    conditions: Mapping[str, Mapping[str, Any]],
    time_s: float,
    leads: bool,
) -> dict[str, Any]:
    """Describe a decision.

    Parameters
    ----------
    config
        What the controller was told.
    views
        What it knew, by site.
    weights, reasons
        What it wants and why, by site; weights are None where it has not wanted any yet.
    distance
        How far the weights are from the best split; None where that cannot be told.
    conditions
        What is known of each site beside its demand.
    time_s
        Unix seconds of the decision.
    leads
        Whether this controller writes.
    """
    return {
        "time": time_s,
        "policy": config.policy,
        "mode": config.mode,
        "leading": leads,
        "gap": None if distance is None else distance.gap,
        "mean_ms": None if distance is None else distance.mean_ms,
        "best_ms": None if distance is None else distance.best_ms,
        "sites": {
            name: {
                "source": site.source,
                "demand_rps": views[name].demand.demand_rps,
                "sample_age_s": views[name].demand.age_s,
                "missing": views[name].demand.reason,
                "healthy": views[name].healthy,
                "in_flight": views[name].in_flight,
                "gateways": views[name].gateways,
                "replicas": views[name].replicas,
                "weights": weights[name],
                "reason": reasons[name],
                **conditions[name],
            }
            for name, site in config.sites.items()
        },
    }
