"""The convex flow problem behind ``cooperative``, by an interior-point method in numpy alone.

    min  sum_e x_e d_e + sum_j L_j(y_j) + sum_k M_k s_k
    sum_{e from i} x_e + sum_{k of i} s_k = lambda_i,   y_j = sum_{e to j} x_e,
    x >= 0,   0 <= s_k <= u_k,   y_j <= U_j

``M_k`` lies above every price that the queues and links can produce, and rises with the importance of the class: so the
least is shed first (an exact penalty), the least important first.

Primal-dual Newton steps on the perturbed optimality conditions (Wright 1997), with ``x_e z_e = s zl = (u - s) zu =
w_j q_j = epsilon`` and ``w = U - y``. Eliminating all but the sites' prices leaves one symmetric positive definite
system of the size of the sites: a grounded Laplacian of the graph of links. Up to some hundred sites it is solved by
Cholesky's way, above by conjugate gradients that never form it, so that the time stays close to linear in the links.
Steps and tolerances are relative: a problem in other units takes the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.queueing import CUT, Marginal, marginal

if TYPE_CHECKING:
    from collections.abc import Callable

    from spillover.policies.queueing import Floats, Ints

DENSE_SITES = 150
_MOST_STEPS = 80
_TO_BOUNDARY = 0.99
_GOOD_ENOUGH = 1e-3


@dataclass(frozen=True, slots=True)
class Problem:
    """A flow problem; every row and every column has at least one edge, and edges are sorted by row.

    Parameters
    ----------
    row, column : arrays of int
        Origin and destination by edge.
    price : array
        Seconds by edge.
    demand : array
        Requests per second by row, above 0.
    servers, server_rps : arrays
        The queue of each column.
    room : array
        The most that each column may take, above 0.
    base : array
        Load that lies on each column's queue beside these flows.
    shed_row, shed_rank : arrays of int
        Row and importance (0 is the least) of each part of the demand that may be shed.
    shed_most : array
        Size of that part, above 0.
    """

    row: Ints
    column: Ints
    price: Floats
    demand: Floats
    servers: Ints
    server_rps: Floats
    room: Floats
    base: Floats
    shed_row: Ints
    shed_rank: Ints
    shed_most: Floats


@dataclass(frozen=True, slots=True)
class Flow:
    """A solution: flows by edge, what is shed by part, and the marginal seconds by column with its limit's price."""

    flow: Floats
    shed: Floats
    price: Floats
    steps: int
    gap: float


@dataclass(slots=True)
class _Point:
    """Primal and dual variables, in scaled units."""

    x: Floats
    z: Floats
    s: Floats
    low: Floats  # dual of s >= 0
    high: Floats  # dual of s <= u
    w: Floats
    q: Floats  # dual of y <= U
    nu: Floats


def solve(problem: Problem, *, tolerance: float = 1e-6) -> Flow:
    """Solve the flow problem to a relative gap of ``tolerance``."""
    return _Solver(problem).run(tolerance)


class _Solver:
    """One run: scaled data, sums over rows and columns, and the Newton iteration."""

    def __init__(self, problem: Problem) -> None:
        self.p = problem
        self.rate = float(problem.demand.mean())
        self.time = float((1.0 / problem.server_rps).mean())
        self.rows, self.columns = len(problem.demand), len(problem.room)
        self.cost = problem.price / self.time
        self.demand = problem.demand / self.rate
        self.room = problem.room / self.rate
        self.most = problem.shed_most / self.rate
        self.row_start = np.searchsorted(problem.row, np.arange(self.rows))
        self.by_column = np.argsort(problem.column, kind="stable")
        self.column_start = np.searchsorted(problem.column[self.by_column], np.arange(self.columns))
        total = problem.room + problem.base
        self.cut = np.clip(total / (problem.servers * problem.server_rps), 1e-9, CUT)
        dearest = float(self.queue(self.room).slope.max())
        penalty = dearest + 2.0 * min(self.columns, 30) * float(self.cost.max())
        self.penalty = 2.0 * penalty * (1.0 + problem.shed_rank)

    def queue(self, load: Floats) -> Marginal:
        """Return L and its derivatives at a load of these flows, scaled."""
        found = marginal(load * self.rate + self.p.base, self.p.servers, self.p.server_rps, self.cut)
        unit = self.rate * self.time
        return Marginal(found.number / unit, found.slope / self.time, found.curvature * self.rate / self.time)

    def row_sum(self, values: Floats) -> Floats:
        return np.add.reduceat(values, self.row_start)

    def column_sum(self, values: Floats) -> Floats:
        return np.add.reduceat(values[self.by_column], self.column_start)

    def shed_sum(self, values: Floats) -> Floats:
        return np.bincount(self.p.shed_row, values, minlength=self.rows)

    def start(self) -> _Point:
        """Return a point inside all limits: sites at most 80 % full, the rest of the demand shed, duals that fit."""
        row, column, shed_row = self.p.row, self.p.column, self.p.shed_row
        weight = self.room[column] / (1.0 + self.cost)
        weight += 0.05 * (self.row_sum(weight) / np.bincount(row, minlength=self.rows))[row]
        x = 0.95 * (self.demand / self.row_sum(weight))[row] * weight
        x *= np.minimum(1.0, 0.8 * self.room / self.column_sum(x))[column]
        s = self.most * (1.0 - self.row_sum(x) / self.demand)[shed_row]
        load = self.column_sum(x)
        w = self.room - load
        epsilon = 0.1 * float((s * self.penalty).mean())
        q = epsilon / w
        there = self.cost + (self.queue(load).slope + q)[column]
        nu = np.minimum.reduceat(there - epsilon / x, self.row_start)
        high = epsilon / (self.most - s)
        low = self.penalty - nu[shed_row] + high
        return _Point(x, there - nu[row], s, low, high, w, q, nu)

    def run(self, tolerance: float) -> Flow:
        """Step until the gap is small, or until rounding errors keep it from falling."""
        at, centring, step, best = self.start(), 0.3, 0, np.inf
        kept = (at.x, at.s, self.queue(self.column_sum(at.x)).slope + at.q)
        for step in range(_MOST_STEPS):
            load = self.column_sum(at.x)
            queue = self.queue(load)
            products = float(at.x @ at.z + at.w @ at.q + at.s @ at.low + (self.most - at.s) @ at.high)
            dual = self.cost + (queue.slope + at.q)[self.p.column] - at.nu[self.p.row] - at.z
            gap = (products + float(at.x @ np.abs(dual))) / float(at.x @ self.cost + queue.number.sum())
            if gap < best:
                best, kept = gap, (at.x, at.s, queue.slope + at.q)
            if gap <= tolerance or (gap > 10.0 * best and best < _GOOD_ENOUGH):
                break
            pairs = len(at.x) + len(at.w) + 2 * len(at.s)
            length = self.move(at, load, queue, dual, centring * products / pairs)
            centring = float(np.clip((1.0 - length) ** 2, 0.05, 0.7))
        x, s, price = kept
        return Flow(x * self.rate, s * self.rate, price * self.time, step, best)

    def move(self, at: _Point, load: Floats, queue: Marginal, dual: Floats, epsilon: float) -> float:
        """Take one damped Newton step towards the central point of ``epsilon``; return its length."""
        row, column, shed_row = self.p.row, self.p.column, self.p.shed_row
        theta = at.x / at.z
        flow_push = epsilon / at.z - at.x - theta * dual
        free = self.most - at.s
        shed_theta = 1.0 / (at.low / at.s + at.high / free)
        shed_dual = self.penalty - at.nu[shed_row] - at.low + at.high
        shed_push = shed_theta * (epsilon / at.s - at.low - epsilon / free + at.high - shed_dual)
        slack = self.room - load - at.w
        bend = np.maximum(queue.curvature, 1e-9) + at.q / at.w
        lift = epsilon / at.w - at.q - at.q * slack / at.w
        short = self.demand - self.row_sum(at.x) - self.shed_sum(at.s)
        row_diagonal = self.row_sum(theta) + self.shed_sum(shed_theta)
        row_right = short - self.row_sum(flow_push) - self.shed_sum(shed_push)
        diagonal = self.column_sum(theta) + 1.0 / bend
        right = self.column_sum(flow_push + theta * (row_right / row_diagonal)[row]) + lift / bend
        dp = self.prices(theta, row_diagonal, diagonal, right)
        dnu = (row_right + self.row_sum(theta * dp[column])) / row_diagonal
        dx = theta * (dnu[row] - dp[column]) + flow_push
        ds = shed_theta * dnu[shed_row] + shed_push
        # What the prices say, not the sum of dx: an inexact solution must not push w against its limit.
        dw = slack - (dp - lift) / bend
        dq = (epsilon - at.w * at.q - at.q * dw) / at.w
        dz = (epsilon - at.x * at.z - at.z * dx) / at.x
        dlow = (epsilon - at.s * at.low - at.low * ds) / at.s
        dhigh = (epsilon - free * at.high + at.high * ds) / free
        primal = min(_reach(at.x, dx), _reach(at.s, ds), _reach(free, -ds), _reach(at.w, dw))
        dualstep = min(_reach(at.z, dz), _reach(at.q, dq), _reach(at.low, dlow), _reach(at.high, dhigh))
        # One length for both: the queues' curvature couples them.
        length = min(primal, dualstep)
        at.x, at.s, at.w = at.x + length * dx, at.s + length * ds, at.w + length * dw
        at.z, at.q, at.nu = at.z + length * dz, at.q + length * dq, at.nu + length * dnu
        at.low, at.high = at.low + length * dlow, at.high + length * dhigh
        return length

    def prices(self, theta: Floats, row_diagonal: Floats, diagonal: Floats, right: Floats) -> Floats:
        """Solve ``(diag - Theta' diag(1/rows) Theta) dp = right``."""
        row, column = self.p.row, self.p.column
        if self.columns <= DENSE_SITES:
            dense = np.zeros((self.rows, self.columns))
            dense[row, column] = theta
            matrix = np.diag(diagonal) - dense.T @ (dense / row_diagonal[:, None])
            return np.linalg.solve(matrix, right)

        def apply(v: Floats) -> Floats:
            back = self.row_sum(theta * v[column]) / row_diagonal
            return diagonal * v - self.column_sum(theta * back[row])

        own = diagonal - self.column_sum(theta**2 / row_diagonal[row])
        return conjugate_gradients(apply, right, np.maximum(own, 1e-12 * diagonal))


def _reach(values: Floats, change: Floats) -> float:
    """Return how far along the change all values stay above 0, at most 1."""
    falling = change < 0.0
    if not falling.any():
        return 1.0
    return min(1.0, _TO_BOUNDARY * float((values[falling] / -change[falling]).min()))


def conjugate_gradients(
    apply: Callable[[Floats], Floats], right: Floats, diagonal: Floats, *, tolerance: float = 1e-3, most: int = 200
) -> Floats:
    """Solve a symmetric positive definite system, preconditioned by its diagonal, to a relative residual."""
    x = np.zeros_like(right)
    residual = right.copy()
    towards = residual / diagonal
    direction = towards
    product = float(residual @ towards)
    goal = product * tolerance**2
    for _ in range(most):
        if product <= goal:
            break
        image = apply(direction)
        step = product / float(direction @ image)
        x += step * direction
        residual -= step * image
        towards = residual / diagonal
        product, before = float(residual @ towards), product
        direction = towards + (product / before) * direction
    conjugate_gradients.count += _
    return x


conjugate_gradients.count = 0
