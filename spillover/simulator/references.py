"""What a simulation is measured against: the static optimum and the bounds that no policy can beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.model import Link, Settings, Site, Snapshot
from spillover.optimum import bounds, static
from spillover.simulator.scenario import Users, constant_rps, mean_rps

if TYPE_CHECKING:
    from spillover.simulator.scenario import Scenario


def optimum_mean_ms(scenario: Scenario) -> float | None:
    """Mean latency of the best split by chance; None where rates vary, sites fail, or a site would saturate.

    It is that of ``spillover decide --optimum``: M/M/c sites that may be used up to ``max_utilisation``.
    """
    rates = constant_rates(scenario)
    if rates is None or any(event.capacity_factor is not None for event in scenario.events):
        return None
    return static.solve(steady_snapshot(scenario, rates)).mean_ms


def lower_bound_ms(scenario: Scenario) -> float | None:
    """Mean latency that no policy can beat that sheds nothing.

    For constant rates, the larger of the transport bound and, where service times have the insensitive or exponential
    form that it is derived for, the pooling bound. For varying rates, each origin's shortest way to an answer from an
    idle site. None for users, whose rate depends on the answers, and where sites fail.
    """
    if any(event.capacity_factor is not None for event in scenario.events):
        return None
    rates = constant_rates(scenario)
    if rates is not None:
        snapshot = steady_snapshot(scenario, rates)
        pooled = all(s.discipline == "ps" or s.service.distribution == "exponential" for s in scenario.sites.values())
        return bounds.lower_bound_ms(snapshot) if pooled else bounds.transport_bound_ms(snapshot)
    mean = mean_rates(scenario)
    if mean is None or sum(mean.values()) <= 0:
        return None
    return sum(rate * _soonest_ms(scenario, origin) for origin, rate in mean.items()) / sum(mean.values())


def _soonest_ms(scenario: Scenario, origin: str) -> float:
    """Round trip and service of one request at the best idle site."""
    ways = [(origin, 0.0)] + [(link.peer, link.rtt_ms) for link in scenario.links if link.origin == origin]
    served = {name: 1000.0 * site.servers / site.capacity_rps for name, site in scenario.sites.items()}
    return min(rtt_ms + served[name] for name, rtt_ms in ways)


def mean_rates(scenario: Scenario) -> dict[str, float] | None:
    """Return the mean demand of each origin after the warm-up; None where there are users."""
    rates = dict.fromkeys(scenario.sites, 0.0)
    for origin, arrivals in scenario.arrivals.items():
        if isinstance(arrivals, Users):
            return None
        rates[origin] = mean_rps(arrivals, scenario.warmup_s, scenario.duration_s)
    return rates


def constant_rates(scenario: Scenario) -> dict[str, float] | None:
    """Return the demand of each origin where all are constant, else None."""
    rates = dict.fromkeys(scenario.sites, 0.0)
    for origin, arrivals in scenario.arrivals.items():
        rate = None if isinstance(arrivals, Users) else constant_rps(arrivals)
        if rate is None:
            return None
        rates[origin] = rate
    return rates


def steady_snapshot(scenario: Scenario, demand_rps: dict[str, float]) -> Snapshot:
    """Return the scenario as a snapshot with true capacities and the demand given."""
    sites = {
        name: Site(name, site.capacity_rps, demand_rps=demand_rps[name], servers=site.servers)
        for name, site in scenario.sites.items()
    }
    links = tuple(Link(link.origin, link.peer, link.rtt_ms, link.cost) for link in scenario.links)
    settings = Settings(
        max_utilisation=scenario.settings.max_utilisation,
        cost_weight_ms=scenario.settings.cost_weight_ms,
        period_s=scenario.control.period_s,
    )
    return Snapshot(sites, links, settings)
