"""A snapshot as arrays, the form in which policies compute.

Edges are pairs (origin, destination). The first ``n`` are home edges, in the order of the sites; the links follow,
sorted by origin, then round-trip time, then the peer's name, which is also the order in which ties are broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spillover.model import MISSING_PERIODS
from spillover.policies.queueing import CUT, Bools, Floats, Ints, Marginal, marginal

if TYPE_CHECKING:
    from spillover.model import Snapshot


@dataclass(frozen=True, slots=True)
class Layout:
    """Sites as arrays of length ``n`` and edges as arrays of length ``n + links``; times in seconds.

    Parameters
    ----------
    snapshot : Snapshot
        Where the numbers come from.
    names : tuple of str
        The sites' names, in the snapshot's order.
    demand, capacity, server_rps, usable, queue : arrays of float
        Per site, in requests and requests per second.
    servers : array of int
        Per site.
    healthy, missing : arrays of bool
        Per site.
    origin, destination : arrays of int
        Per edge.
    rtt, price : arrays of float
        Per edge: round-trip time, and the same with the egress cost in seconds.
    """

    snapshot: Snapshot
    names: tuple[str, ...]
    demand: Floats
    capacity: Floats
    servers: Ints
    server_rps: Floats
    usable: Floats
    queue: Floats
    healthy: Bools
    missing: Bools
    origin: Ints
    destination: Ints
    rtt: Floats
    price: Floats

    @classmethod
    def of(cls, snapshot: Snapshot) -> Layout:
        """Lay out a snapshot."""
        sites = list(snapshot.sites.values())
        names = tuple(snapshot.sites)
        settings = snapshot.settings
        alphabetical = np.empty(len(names), dtype=np.int64)
        alphabetical[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        links = snapshot.columns
        origin, peer = np.array(links.origin, dtype=np.int64), np.array(links.peer, dtype=np.int64)
        rtt = np.array(links.rtt_ms, dtype=float) / 1000.0
        cost = np.array(links.cost, dtype=float) * (settings.cost_weight_ms / 1000.0)
        order = np.lexsort((alphabetical[peer], rtt, origin))
        home = np.arange(len(names), dtype=np.int64)
        zeros = np.zeros(len(names))
        # Site.server_rps and Site.usable_rps, for all sites at once.
        capacity = np.array([site.capacity_rps for site in sites], dtype=float)
        servers = np.array([site.servers for site in sites], dtype=np.int64)
        service_ms = np.array([site.service_ms for site in sites], dtype=float)
        service_ms = np.where(np.isnan(service_ms), 1000.0 * servers / capacity, service_ms)
        server_rps = 1000.0 / service_ms
        sure = capacity * (1.0 - np.array([site.capacity_margin for site in sites], dtype=float))
        healthy = np.array([site.healthy for site in sites], dtype=bool)
        usable = np.where(healthy, settings.max_utilisation * np.minimum(sure, servers * server_rps), 0.0)
        return cls(
            snapshot=snapshot,
            names=names,
            demand=np.array([site.demand_total_rps for site in sites], dtype=float),
            capacity=capacity,
            servers=servers,
            server_rps=server_rps,
            usable=usable,
            queue=np.array([site.queue for site in sites], dtype=float),
            healthy=healthy,
            missing=np.array([site.age_s for site in sites]) > MISSING_PERIODS * settings.period_s,
            origin=np.concatenate((home, origin[order])),
            destination=np.concatenate((home, peer[order])),
            rtt=np.concatenate((zeros, rtt[order])),
            price=np.concatenate((zeros, (rtt + cost)[order])),
        )

    @property
    def size(self) -> int:
        """Number of sites."""
        return len(self.names)

    @property
    def saturation(self) -> Floats:
        """Rate per site at which its queue no longer has a mean."""
        return self.servers * self.server_rps

    def named(self, sites: Ints) -> list[str]:
        """Return the names of sites by number."""
        names = self.names
        return [names[index] for index in sites.tolist()]

    def by_origin(self, values: Floats) -> Floats:
        """Sum values of edges by origin."""
        return _sum_by(self.origin, values, self.size)

    def by_destination(self, values: Floats) -> Floats:
        """Sum values of edges by destination."""
        return _sum_by(self.destination, values, self.size)

    def least(self, values: Floats) -> Floats:
        """Return the least of the values of edges by origin."""
        least = np.array(values[: self.size])
        np.minimum.at(least, self.origin[self.size :], values[self.size :])
        return least

    def at_home(self) -> Floats:
        """Return fractions by edge that keep everything at home."""
        fraction = np.zeros(len(self.origin))
        fraction[: self.size] = 1.0
        return fraction

    def shares(self, weight: Floats) -> Floats:
        """Return fractions in proportion to weights by edge; an origin without any weight keeps all at home."""
        whole = self.by_origin(weight)
        empty = whole <= 0.0
        fraction = weight / np.where(empty, 1.0, whole)[self.origin]
        fraction[: self.size][empty] = 1.0
        return fraction

    def marginal(self, load: Floats, cut: Floats | float = CUT) -> Marginal:
        """Return each site's mean number in the system and its derivatives at these loads."""
        return marginal(load, self.servers, self.server_rps, cut)

    def mean_ms(self, flow: Floats) -> float | None:
        """Return the predicted mean latency of what is served, None with no load or a site at or beyond saturation.

        Parameters
        ----------
        flow : array
            Requests per second by edge.
        """
        load = self.by_destination(flow)
        served = float(load.sum())
        busy = load > 0.0
        if served <= 0.0 or bool((load[busy] >= self.saturation[busy] * (1.0 - 1e-12)).any()):
            return None
        number = marginal(load, self.servers, self.server_rps, cut=1.0 - 1e-13).number
        mean = 1000.0 * (float(flow @ self.rtt) + float(number[busy].sum())) / served
        return mean if np.isfinite(mean) else None


def _sum_by(groups: Ints, values: Floats, size: int) -> Floats:
    sums: Floats = np.bincount(groups, weights=values, minlength=size).astype(np.float64, copy=False)
    return sums
