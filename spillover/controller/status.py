"""What the controller knows and wants at its last decision, as one JSON document. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillover.sources.demand import by_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.controller.snapshot import SiteView
    from spillover.policies.distance import Distance

Rates = dict[str, dict[str, float | None]]
"""By class: ``demand_rps``, None where it is missing, and ``shed_rps``."""


def by_site_and_class(
    config: ControllerConfig, views: Mapping[str, SiteView], shed_rps: Mapping[str, Mapping[str, float]]
) -> dict[str, Rates]:
    """Return what arrives and what is shed at each site, by class; empty where there are no classes.

    Parameters
    ----------
    config, views
        As for `status_document`.
    shed_rps
        By origin and class, as decided.
    """
    names = config.class_names
    found = {}
    for site, view in views.items() if names else ():
        rate_rps, shed = view.demand.demand_rps, shed_rps.get(site, {})
        demand = {} if rate_rps is None else by_class(rate_rps, view.demand.shares, names)
        found[site] = {name: {"demand_rps": demand.get(name), "shed_rps": shed.get(name, 0.0)} for name in names}
    return found


def status_document(
    config: ControllerConfig,
    views: Mapping[str, SiteView],
    weights: Mapping[str, Mapping[str, int] | None],
    reasons: Mapping[str, str],
    distance: Distance | None,
    *,
    classes: Mapping[str, Rates],
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
    classes
        From `by_site_and_class`.
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
                **({"classes": classes[name]} if name in classes else {}),
                **conditions[name],
            }
            for name, site in config.sites.items()
        },
    }
