"""The convex flow problem behind ``cooperative``, by an interior-point method in numpy alone.

    min  sum_e x_e d_e + sum_j L_j(y_j) + sum_k M_k s_k
    sum_{e from i} x_e + sum_{k of i} s_k = lambda_i,   y_j = sum_{e to j} x_e,
    x >= 0,   0 <= s_k <= u_k,   y_j <= U_j

``M_k`` lies above every price that the queues and links can produce, and rises with the importance of the class: so the
least is shed first (an exact penalty), the least important first. In large problems it lies in their midst (below).

Primal-dual Newton steps on the perturbed optimality conditions (Wright 1997), with ``x_e z_e = s zl = (u - s) zu =
w_j q_j = epsilon`` and ``w = U - y``. Eliminating all but the sites' prices leaves one symmetric positive definite
system of the size of the sites: a grounded Laplacian of the graph of links. Up to some hundred sites it is solved by
elimination, above by conjugate gradients that never form it, so that the time stays close to linear in the links.
Their preconditioner is the diagonal and, once that is slow, for each cluster of sites that large flows tie to one
another one coarse unknown: without it the price of a whole cluster moves slowly. Steps and tolerances are relative: a
problem in other units takes the same steps.

Small problems are solved to a relative gap of 1e-6. Large ones stop at 2e-2, and then lose the flows that the interior
point has left on edges it is about to empty: that is nearly all of the gap. Two things make large ones easier:

- a proximal term on each flow (Friedlander and Orban 2012), centred on where it is. Without it a flow that is far from
  0 ties the prices at its ends ever more firmly, and late steps take hundreds of conjugate gradients;
- a price of shedding in the midst of the queues' prices, not above them all: a high one makes for many more steps.
  What it sheds too much is placed afterwards, where there is room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.edges import edges_of
from spillover.policies.queueing import CUT, Marginal, marginal

if TYPE_CHECKING:
    from collections.abc import Callable

    from spillover.policies.queueing import Bools, Floats, Ints

DENSE_SITES = 300
_DENSE_GAP = 1e-6
_LARGE_GAP = 2e-2
_MOST_STEPS = 60
_MOST_LARGE_STEPS = 25
_TO_BOUNDARY = 0.99
_FIRST_PRODUCT = 0.01
"""Products at the start, beside the mean price of what is shed there."""

_GOOD_ENOUGH = 1e-3
_EMPTYING = 1e-3
"""An edge is about to be emptied when its x/z is this small beside the largest of its row."""

_CONJUGATE_STEPS = 80
_CONJUGATE_TOLERANCE = 3e-3
_FINEST_TOLERANCE = 3e-6
"""Each step that does not narrow the gap makes the next ones ten times as accurate, up to this."""

_IN_VAIN, _NEARLY = 3, 0.3
"""After so many steps in a row that do not narrow it, a large problem is left as it is, once its gap is this small."""

_BENT, _PROXIMITY = 0.1, 0.1
"""Weight of a large problem's proximal term, beside the queue's curvature and beside the mean service time per room."""

_MANY_CONJUGATE_STEPS, _FIRMER = 20, 4.0
"""After so many conjugate steps the proximal term may become so many times as heavy beside the service time."""

_FEW_CONJUGATE_STEPS = 12
"""Clusters are looked for once the diagonal alone needs more conjugate steps than that."""

_TIED = 3.0
"""Two sites belong to one cluster when the flows tie their prices this many times as firmly as their queues do."""

_CLUSTERS_LAST = 3
"""Clusters are looked for anew after so many steps: they change slowly, and to find them takes a third of a step."""


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
    t: Floats  # u - s, a variable of its own: the difference would lose its digits
    low: Floats  # dual of s >= 0
    high: Floats  # dual of s <= u
    w: Floats
    q: Floats  # dual of y <= U
    nu: Floats


@dataclass(slots=True)
class _Clusters:
    """Each site's cluster, that of each row's anchor, which edges lead there, and for how many steps they hold."""

    label: Ints
    of_row: Ints
    inside: Bools
    steps_left: int


def solve(problem: Problem) -> Flow:
    """Solve the flow problem."""
    return _Solver(problem).run()


class _Solver:
    """One run: scaled data, sums over rows and columns, and the Newton iteration."""

    def __init__(self, problem: Problem) -> None:
        self.p = problem
        self.rate = float(problem.demand.mean())
        self.time = float((1.0 / problem.server_rps).mean())
        self.rows, self.columns = len(problem.demand), len(problem.room)
        self.dense = self.columns <= DENSE_SITES
        self.accuracy = _CONJUGATE_TOLERANCE
        self.slow = False
        self.clusters: _Clusters | None = None
        self.edges = edges_of(problem.row, problem.column, copies=not self.dense)
        self.cost = self.edges.lay_out(problem.price) / self.time
        self.demand = problem.demand / self.rate
        self.room = problem.room / self.rate
        self.most = problem.shed_most / self.rate
        total = problem.room + problem.base
        self.cut = np.clip(total / (problem.servers * problem.server_rps), 1e-9, CUT)
        dearest = float(self.queue(self.room).slope.max())
        penalty = 2.0 * (dearest + 2.0 * min(self.columns, 30) * float(self.cost.max()))
        self.proximity = 0.0
        if not self.dense:
            penalty = float(np.median(self.queue(self.room).slope)) + 3.0 * float(self.cost.max())
            self.proximity = _PROXIMITY
        self.penalty = penalty * (1.0 + problem.shed_rank)

    def queue(self, load: Floats) -> Marginal:
        """Return L and its derivatives at a load of these flows, scaled."""
        found = marginal(load * self.rate + self.p.base, self.p.servers, self.p.server_rps, self.cut)
        unit = self.rate * self.time
        return Marginal(found.number / unit, found.slope / self.time, found.curvature * self.rate / self.time)

    def shed_sum(self, values: Floats) -> Floats:
        return np.bincount(self.p.shed_row, values, minlength=self.rows).astype(float, copy=False)

    def start(self) -> _Point:
        """Return a point inside all limits: sites at most 80 % full, the rest of the demand shed, duals that fit."""
        edges, shed_row = self.edges, self.p.shed_row
        row_sum, column_sum, spread, column = edges.row_sum, edges.column_sum, edges.spread, edges.column
        weight = self.room[column] / (1.0 + self.cost)
        weight += spread(0.05 * row_sum(weight) / row_sum(np.ones_like(weight)))
        x = weight * spread(0.95 * self.demand / row_sum(weight))
        x *= np.minimum(1.0, 0.8 * self.room / column_sum(x))[column]
        s = self.most * (1.0 - row_sum(x) / self.demand)[shed_row]
        load = column_sum(x)
        w = self.room - load
        epsilon = _FIRST_PRODUCT * float((s * self.penalty).mean())
        q = epsilon / w
        there = self.cost + (self.queue(load).slope + q)[column]
        nu = edges.row_least(there - epsilon / x)
        above = self.penalty - nu[shed_row]
        low = np.maximum(above + epsilon / (self.most - s), epsilon / s)
        return _Point(x, there - spread(nu), s, self.most - s, low, low - above, w, q, nu)

    def run(self) -> Flow:
        """Step until the gap is small, or until rounding errors keep it from falling."""
        tolerance, most = (_DENSE_GAP, _MOST_STEPS) if self.dense else (_LARGE_GAP, _MOST_LARGE_STEPS)
        at, centring, best, steps, since = self.start(), 0.3, np.inf, 0, 0
        kept, prices = at, at.w
        while steps < most:
            load = self.edges.column_sum(at.x)
            queue = self.queue(load)
            products = float(np.vdot(at.x, at.z) + at.w @ at.q + at.s @ at.low + at.t @ at.high)
            dual = self.cost + (queue.slope + at.q)[self.edges.column] - self.edges.spread(at.nu) - at.z
            gap = (products + float(np.vdot(at.x, np.abs(dual)))) / float(np.vdot(at.x, self.cost) + queue.number.sum())
            if gap < best or not steps:
                best, kept, prices, since = gap, replace(at), queue.slope + at.q, 0
            else:
                since += 1
                self.accuracy = max(0.1 * self.accuracy, _FINEST_TOLERANCE)
            if (
                gap <= tolerance
                or (gap > 10.0 * best and best < _GOOD_ENOUGH)
                or (since >= _IN_VAIN and best < _NEARLY and not self.dense)
            ):
                break
            pairs = at.x.size + len(at.w) + 2 * len(at.s)
            try:
                length = self.move(at, load, queue, dual, centring * products / pairs)
            except np.linalg.LinAlgError:  # the gap is as small as rounding errors allow, and the best point is kept
                break
            centring = float(np.clip((1.0 - length) ** 1.5, 0.1, 0.7))
            steps += 1
        flow = kept.x if self.dense else self.emptied(kept)
        return Flow(self.edges.collect(flow) * self.rate, kept.s * self.rate, prices * self.time, steps, best)

    def emptied(self, at: _Point) -> Floats:
        """Return the flows without those that are on their way to zero: ``x`` small where ``z`` is not."""
        ratio = at.x / at.z
        return np.where(ratio >= self.edges.spread(_EMPTYING * self.edges.row_largest(ratio)), at.x, 0.0)

    def move(self, at: _Point, load: Floats, queue: Marginal, dual: Floats, epsilon: float) -> float:
        """Take one damped Newton step towards the central point of ``epsilon``; return its length."""
        edges, shed_row = self.edges, self.p.shed_row
        row_sum, column_sum, spread, column = edges.row_sum, edges.column_sum, edges.spread, edges.column
        # The proximal term is centred on the flow itself: it shortens the step, and leaves the optimum where it is.
        near = np.minimum(_BENT * queue.curvature, self.proximity / self.room)
        # Divisions by arrays as long as the edges are dear, so that each is done once.
        per_x = 1.0 / at.x
        slope = at.z * per_x
        theta = 1.0 / (slope + near.take(column))
        aim = epsilon * per_x - at.z
        flow_push = theta * (aim - dual)
        per_s, per_free = 1.0 / at.s, 1.0 / at.t
        low_slope, high_slope = at.low * per_s, at.high * per_free
        low_aim, high_aim = epsilon * per_s - at.low, epsilon * per_free - at.high
        shed_theta = 1.0 / (low_slope + high_slope)
        shed_dual = self.penalty - at.nu.take(shed_row) - at.low + at.high
        shed_push = shed_theta * (low_aim - high_aim - shed_dual)
        slack = self.room - load - at.w
        bend = np.maximum(queue.curvature, 1e-9) + at.q / at.w
        lift = (epsilon - at.q * slack) / at.w - at.q
        short = self.demand - row_sum(at.x) - self.shed_sum(at.s)
        row_diagonal = row_sum(theta) + self.shed_sum(shed_theta)
        row_right = short - row_sum(flow_push) - self.shed_sum(shed_push)
        right = column_sum(flow_push + theta * spread(row_right / row_diagonal)) + lift / bend
        dp = self.prices(theta, row_diagonal, bend, right)
        there = dp.take(column)
        dnu = (row_right + row_sum(theta * there)) / row_diagonal
        dx = theta * (spread(dnu) - there) + flow_push
        ds = shed_theta * dnu.take(shed_row) + shed_push
        # What the prices say, not the sum of dx: an inexact solution must not push w against its limit.
        dw = slack - (dp - lift) / bend
        dq = (epsilon - at.q * dw) / at.w - at.q
        dz = aim - slope * dx
        dlow, dhigh = low_aim - low_slope * ds, high_aim + high_slope * ds
        primal = min(_reach(dx * per_x), _reach(ds * per_s), _reach(-ds * per_free), _reach(dw / at.w))
        dualstep = min(_reach(dz / at.z), _reach(dq / at.q), _reach(dlow / at.low), _reach(dhigh / at.high))
        at.x, at.s, at.t = at.x + primal * dx, at.s + primal * ds, at.t - primal * ds
        at.w = at.w + primal * dw
        at.z, at.q, at.nu = at.z + dualstep * dz, at.q + dualstep * dq, at.nu + dualstep * dnu
        at.low, at.high = at.low + dualstep * dlow, at.high + dualstep * dhigh
        return min(primal, dualstep)

    def prices(self, theta: Floats, row_diagonal: Floats, bend: Floats, right: Floats) -> Floats:
        """Solve ``(diag(sum theta + 1/bend) - Theta' diag(1/row_diagonal) Theta) dp = right`` for the sites' prices."""
        edges = self.edges
        row_sum, column_sum, spread, column = edges.row_sum, edges.column_sum, edges.spread, edges.column
        diagonal = column_sum(theta) + 1.0 / bend
        if self.dense:
            dense = np.zeros((self.rows, self.columns))
            dense[self.p.row, column] = theta
            matrix = np.diag(diagonal) - dense.T @ (dense / row_diagonal[:, None])
            return np.asarray(np.linalg.solve(matrix, right), dtype=float)
        back = 1.0 / row_diagonal

        def apply(v: Floats) -> Floats:
            return diagonal * v - column_sum(theta * spread(row_sum(theta * v.take(column)) * back))

        own = 1.0 / np.maximum(diagonal - column_sum(theta * theta * spread(back)), 1e-12 * diagonal)

        precondition: Callable[[Floats], Floats] = own.__mul__
        if self.slow:
            if self.clusters is None or self.clusters.steps_left == 0:
                self.clusters = self.find_clusters(theta, row_diagonal, bend)
            self.clusters.steps_left -= 1
            cluster = self.clusters.label
            share = 1.0 / self.coarse(self.clusters, theta, row_diagonal, bend)

            def precondition(v: Floats) -> Floats:
                return v * own + (np.bincount(cluster, v, minlength=self.columns) * share).take(cluster)

        found, steps = conjugate_gradients(apply, right, precondition, self.accuracy)
        self.slow = self.slow or steps > _FEW_CONJUGATE_STEPS
        if steps > _MANY_CONJUGATE_STEPS:
            self.proximity *= _FIRMER
        return found

    def find_clusters(self, theta: Floats, row_diagonal: Floats, bend: Floats) -> _Clusters:
        """Return the sites that large flows tie to one another.

        A row ties the destination of its largest ``theta``, its anchor, to its others, each with a conductance of
        ``theta_largest * theta / row_diagonal``; where that is firm, they are of one cluster.
        """
        edges, column = self.edges, self.edges.column
        largest = edges.row_largest(theta)
        anchor = edges.row_largest(np.where(theta == edges.spread(largest), column, 0))
        here = edges.spread(anchor)
        tie = theta * edges.spread(largest / row_diagonal)
        firm = tie > _TIED / np.minimum(bend[column], edges.spread(bend[anchor]))
        firm &= column != here
        label = components(column[firm], np.broadcast_to(here, column.shape)[firm], self.columns)
        return _Clusters(label, label[anchor], label[column] == edges.spread(label[anchor]), _CLUSTERS_LAST)

    def coarse(self, clusters: _Clusters, theta: Floats, row_diagonal: Floats, bend: Floats) -> Floats:
        """Return the system's value for a common change of a cluster's prices, by cluster."""
        edges, label = self.edges, clusters.label
        within = edges.row_sum(theta * clusters.inside)
        out = theta * ~clusters.inside
        leaving = edges.column_sum(out * (1.0 - out * edges.spread(1.0 / row_diagonal)))
        result = np.bincount(label, 1.0 / bend + leaving, self.columns)
        result += np.bincount(clusters.of_row, within * (row_diagonal - within) / row_diagonal, self.columns)
        return np.maximum(result, 1e-300)


def components(one: Ints, other: Ints, size: int) -> Ints:
    """Return a label for each node such that joined nodes share it: the least of their numbers, in a few sweeps.

    Chains too long for the sweeps get more than one label, which costs the preconditioner little.
    """
    label = np.arange(size)
    for _ in range(8):
        before = label.copy()
        low = np.minimum(label[one], label[other])
        np.minimum.at(label, one, low)
        np.minimum.at(label, other, low)
        label = label[label]
        if bool((label == before).all()):
            break
    return label


def _reach(relative_change: Floats) -> float:
    """Return how far along the change all values stay above 0, at most 1."""
    steepest = float(relative_change.min())
    return 1.0 if steepest >= -_TO_BOUNDARY else _TO_BOUNDARY / -steepest


def conjugate_gradients(
    apply: Callable[[Floats], Floats], right: Floats, precondition: Callable[[Floats], Floats], tolerance: float
) -> tuple[Floats, int]:
    """Solve a symmetric positive definite system to a relative residual (Hestenes and Stiefel 1952).

    Returns
    -------
    tuple of array and int
        The solution, and how many steps it took.
    """
    x = np.zeros_like(right)
    residual = right.copy()
    towards = precondition(residual)
    direction = towards
    product = float(residual @ towards)
    goal, steps = product * tolerance**2, 0
    while steps < _CONJUGATE_STEPS and product > goal:
        steps += 1
        image = apply(direction)
        step = product / float(direction @ image)
        x += step * direction
        residual -= step * image
        towards = precondition(residual)
        product, before = float(residual @ towards), product
        direction = towards + (product / before) * direction
    return x, steps
