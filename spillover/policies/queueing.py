"""M/M/c queues, vectorised: mean number in the system, its first two derivatives, and the inverse of the first.

``a = y / mu`` is the load in servers, ``rho = a / c`` the utilisation. Erlang B is
``B = (a^c / c!) / sum_{k<=c} a^k / k!``, the probability of waiting ``C = B / (1 - rho + rho B)``, and the mean number
in the system ``L = a + C rho / (1 - rho)`` (Erlang 1917). ``L`` is convex in ``y``. M/M/1 is the same as M/G/1-PS.

Beyond a cut (by default just below saturation) ``L`` goes on as the parabola that touches it there: an optimiser may
then stand beyond saturation on its way, and still be told in which direction to leave.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CUT = 0.999
"""Utilisation from which the parabola takes over, unless a site's own limit lies below."""

_RECURSION_LIMIT = 64
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(96)


class Marginal(NamedTuple):
    """Mean number in the system, and its first and second derivative by the arrival rate."""

    number: Floats
    slope: Floats
    curvature: Floats


def inverse_erlang_b(load: Floats, servers: Ints) -> Floats:
    """Return ``1 / B(servers, load)`` for loads above 0.

    Up to 64 servers by the recursion ``1/B_k = 1 + (k/a) / B_{k-1}``; above, by Gauss-Legendre quadrature of Fortet's
    integral ``1/B = int_0^inf e^{-u} (1 + u/a)^c du`` around its peak, which costs the same for any number of servers.
    """
    # Sorted by the number of servers, the sites that go on with the recursion are always the first ones. Small integers
    # are sorted by radix, in half of the time.
    key = (_RECURSION_LIMIT - np.where(servers <= _RECURSION_LIMIT, servers, 0)).astype(np.uint8)
    order = np.argsort(key, kind="stable")
    load, servers = load[order], servers[order]
    inverse = np.ones_like(load)
    going_on = np.cumsum(np.bincount(key, minlength=_RECURSION_LIMIT + 1))[_RECURSION_LIMIT - 1 :: -1]
    with np.errstate(over="ignore"):
        for step, many in enumerate(going_on[going_on > 0].tolist(), start=1):
            head = inverse[:many]
            head *= step / load[:many]
            head += 1.0
        if going_on[0] < len(load):
            large = slice(going_on[0], None)
            inverse[large] = _fortet(load[large], servers[large].astype(float))
    result = np.empty_like(inverse)
    result[order] = inverse
    return result


def _fortet(load: Floats, servers: Floats) -> Floats:
    peak = np.maximum(servers - load, 0.0)
    width = np.sqrt(servers) + 1.0
    low = np.maximum(peak - 10.0 * width, 0.0)
    high = peak + 12.0 * width
    half = (high - low) / 2.0
    nodes = low[:, None] + half[:, None] * (_NODES + 1.0)
    exponent = servers[:, None] * np.log1p(nodes / load[:, None]) - nodes
    return half * (np.exp(np.minimum(exponent, 700.0)) @ _NODE_WEIGHTS)


def marginal(rate_rps: Floats, servers: Ints, server_rps: Floats, cut: Floats | float = CUT) -> Marginal:
    """Return the mean number in an M/M/c system and its derivatives by the arrival rate.

    Parameters
    ----------
    rate_rps : array
        Arrival rates, at least 0.
    servers, server_rps : arrays
        Number of servers and the rate of one.
    cut : array or float
        Utilisation above which the touching parabola stands in, in (0, 1).

    Returns
    -------
    Marginal
        Number (requests), slope (seconds) and curvature (seconds squared).
    """
    load = rate_rps / server_rps
    exact = np.minimum(load, cut * servers)
    number, slope, curvature = _exact(np.maximum(exact, 1e-12), servers)
    beyond = load - exact
    return Marginal(
        number + slope * beyond + 0.5 * curvature * beyond**2,
        (slope + curvature * beyond) / server_rps,
        curvature / server_rps**2,
    )


def _exact(load: Floats, servers: Ints) -> Marginal:
    """Return L and its derivatives by the load in servers, for loads in (0, servers)."""
    if bool((servers == 1).all()):
        idle = 1.0 / (1.0 - load)
        return Marginal(load * idle, idle**2, 2.0 * idle**3)
    blocking = 1.0 / inverse_erlang_b(load, servers)
    free = servers - load
    ratio = servers / load - 1.0 + blocking
    blocking_slope = blocking * ratio
    # D = c - a (1 - B), C = c B / D, and the waiting part Q = C a / (c - a).
    denominator = servers - load * (1.0 - blocking)
    denominator_slope = load * blocking_slope - (1.0 - blocking)
    waits = servers * blocking / denominator
    log_slope = ratio - denominator_slope / denominator
    blocking_bend = blocking_slope * ratio + blocking * (blocking_slope - servers / load**2)
    denominator_bend = 2.0 * blocking_slope + load * blocking_bend
    log_bend = (
        blocking_slope - servers / load**2 - denominator_bend / denominator + (denominator_slope / denominator) ** 2
    )
    queue = waits * load / free
    # Q'/Q = C'/C + 1/a + 1/(c - a)
    queue_log_slope = log_slope + 1.0 / load + 1.0 / free
    queue_log_bend = log_bend - 1.0 / load**2 + 1.0 / free**2
    return Marginal(
        load + queue,
        1.0 + queue * queue_log_slope,
        np.maximum(queue * (queue_log_slope**2 + queue_log_bend), 0.0),
    )


@lru_cache(maxsize=256)
def _table(servers: int) -> tuple[Floats, Floats]:
    """Return (scaled marginal, load per server) on a grid that is dense where the curve bends: near saturation."""
    grid = 1.0 - np.geomspace(1.0, 1e-4, 1024)
    load = np.maximum(grid * servers, 1e-12)
    return _exact(load, np.full(load.shape, servers, dtype=np.int64)).slope, grid


def rate_at(slope_s: Floats, servers: Ints, server_rps: Floats) -> Floats:
    """Return the arrival rate at which the marginal number in the system equals ``slope_s``, 0 where it never is.

    The inverse of ``marginal(...).slope``: a table of 1,024 points for each number of servers, then one Newton step.
    At most ``0.9999 * servers * server_rps``.
    """
    scaled = slope_s * server_rps
    rho = np.zeros_like(scaled)
    for count in np.unique(servers):
        these = servers == count
        slopes, grid = _table(int(count))
        rho[these] = np.interp(scaled[these], slopes, grid)
    inside = (rho > 0.0) & (rho < 1.0 - 1e-4)
    at = _exact(np.maximum(rho * servers, 1e-12)[inside], servers[inside])
    step = (scaled[inside] - at.slope) / np.maximum(at.curvature, 1e-6)
    rho[inside] += np.clip(step / servers[inside], -0.01, 0.01) * (1.0 - rho[inside])
    return np.clip(rho, 0.0, 1.0 - 1e-4) * servers * server_rps
