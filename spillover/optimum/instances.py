"""Random snapshots on which policies are measured against the optimum, seeded so that each can be looked at again."""

from __future__ import annotations

import numpy as np

from spillover.model import Link, Site, Snapshot


def random_snapshot(
    seed: int, *, sites: int | None = None, peers: int | None = None, overload: bool | None = None
) -> Snapshot:
    """Return a snapshot of sites in a square, each linked to some others.

    1 to 16 servers a site, a server's rate from 2 to 50 rps; each site's utilisation from 10 to 94 %, evenly or with
    hot spots, and in three of ten snapshots more than the sites can serve; round trips by distance.

    Parameters
    ----------
    seed : int
        What all of it is drawn from.
    sites : int, optional
        Number of sites; left out, from 2 to 50.
    peers : int, optional
        Number of links from each site; left out, from 1 to 8. The nearest sites in half of the cases, else any.
    overload : bool, optional
        Whether there is more demand than the sites can serve; left out, in three of ten.
    """
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 51)) if sites is None else sites
    degree = min(int(random.integers(1, 9)) if peers is None else peers, size - 1)
    servers = random.integers(1, 17, size)
    rate = np.exp(random.uniform(np.log(2.0), np.log(50.0), size))
    capacity = servers * rate
    demand = capacity * _utilisation(random, capacity, overload)
    where = random.uniform(0.0, 1.0, (size, 2))
    width_ms = float(np.exp(random.uniform(np.log(5.0), np.log(200.0))))
    nearest = bool(random.random() < 0.5)
    names = [f"site{index}" for index in range(size)]
    links = []
    for origin in range(size):
        distance = np.hypot(*(where - where[origin]).T)
        chosen = np.argsort(distance)[1 : degree + 1] if nearest else _others(random, size, origin, degree)
        links += [Link(names[origin], names[peer], float(1.0 + width_ms * distance[peer])) for peer in chosen]
    made = {
        name: Site(name, float(capacity[i]), float(demand[i]), int(servers[i]), float(1000.0 / rate[i]))
        for i, name in enumerate(names)
    }
    return Snapshot(made, tuple(links))


def _utilisation(random: np.random.Generator, capacity: np.ndarray, overload: bool | None) -> np.ndarray:
    size = len(capacity)
    if random.random() < 0.5:
        utilisation = random.uniform(0.10, 0.94, size)
    else:
        shape = random.exponential(1.0, size)
        mean = float(random.uniform(0.10, 0.94))
        utilisation = shape * mean * capacity.sum() / float((shape * capacity).sum())
    drawn = bool(random.random() < 0.3)
    if drawn if overload is None else overload:
        factor = random.uniform(1.0, 4.0, size)
        utilisation = utilisation * np.maximum(factor, 1.2 * capacity.sum() / float((utilisation * capacity).sum()))
    return np.asarray(utilisation)


def _others(random: np.random.Generator, size: int, origin: int, degree: int) -> np.ndarray:
    chosen = random.choice(size - 1, degree, replace=False)
    return np.where(chosen >= origin, chosen + 1, chosen)
