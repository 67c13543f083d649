"""From what is known of the sites to what a policy is asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.model import Site, Snapshot
from spillover.sources.demand import by_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.sources.demand import Demand


@dataclass(frozen=True, slots=True)
class SiteView:
    """What is known of a site now.

    Parameters
    ----------
    demand : Demand
        Its demand, or why that is missing.
    healthy : bool
        False when the site is held to be dead.
    in_flight : float, optional
        Requests at its application, as last seen; None when nobody counts them.
    gateways : int
        Gateway pods of the site.
    replicas : int, optional
        Replicas of its application, as last seen; None when nobody counts them.
    """

    demand: Demand
    healthy: bool = True
    in_flight: float | None = None
    gateways: int = 1
    replicas: int | None = None


def build_snapshot(config: ControllerConfig, views: Mapping[str, SiteView], *, running_s: float) -> Snapshot:
    """Describe all sites for the policy.

    A sample ages by a period with each interval of its source, if that is longer: policies count what is older than so
    many periods as missing.

    A site whose demand is missing keeps its last one with its true age, and one that was never seen counts as full,
    and as old as the controller: nothing new is sent to it either way. A site without a replica of the application is
    dead, though its demand still arrives.

    Parameters
    ----------
    config
        Sites, links and settings.
    views
        By site.
    running_s
        Seconds since the controller started.
    """
    sites = {}
    for name, site in config.sites.items():
        view, capacity_rps = views[name], site.capacity_rpm / 60.0
        known_rps = view.demand.demand_rps if view.demand.demand_rps is not None else view.demand.last_rps
        demand_rps = capacity_rps if known_rps is None else known_rps
        sites[name] = Site(
            name=name,
            capacity_rps=capacity_rps,
            demand_rps=by_class(demand_rps, view.demand.shares, config.class_names) if config.classes else demand_rps,
            servers=site.servers,
            service_ms=site.service_ms,
            queue=0.0 if view.in_flight is None else max(0.0, view.in_flight - site.servers),
            healthy=view.healthy and view.replicas != 0,
            age_s=running_s if view.demand.age_s is None else view.demand.age_s * _ageing(config, name),
        )
    return Snapshot(sites=sites, links=config.model_links(), settings=config.model_settings())


def _ageing(config: ControllerConfig, name: str) -> float:
    return min(1.0, config.period_s / config.site_interval_s(name))
