"""Mean number in an M/M/c (or M/G/1-PS) system by scipy's gamma functions: another way than the policies' own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc, gammaln

Floats = NDArray[np.float64]


def erlang_b(load: Floats, servers: Floats) -> Floats:
    """Return the Erlang loss probability ``e^{-a} a^c / c! / Q(c + 1, a)`` for loads above 0."""
    log_density = servers * np.log(load) - load - gammaln(servers + 1.0)
    return np.asarray(np.exp(log_density) / gammaincc(servers + 1.0, load))


def number_and_slope(rate_rps: Floats, servers: Floats, server_rps: Floats) -> tuple[Floats, Floats]:
    """Return L (requests) and dL/dy (seconds) for rates in [0, servers * server_rps)."""
    load = np.maximum(rate_rps / server_rps, 1e-12)
    loss = erlang_b(load, servers)
    loss_slope = loss * (servers / load - 1.0 + loss)
    free = servers - load
    lower = servers - load * (1.0 - loss)
    waits = servers * loss / lower
    waits_slope = servers * (loss_slope * lower - loss * (load * loss_slope - (1.0 - loss))) / lower**2
    number = load + waits * load / free
    slope = 1.0 + waits_slope * load / free + waits * servers / free**2
    return number, slope / server_rps
