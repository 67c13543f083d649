"""One door to HiGHS, scipy's solver of linear programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import linprog

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from spillover.optimum.queues import Floats


class Solution(NamedTuple):
    """A minimiser and its value; ``problem`` says why there is none."""

    point: Floats
    value: float
    problem: str


def minimise(
    cost: Floats,
    *,
    equal: csr_array[Any, Any],
    equal_rhs: Floats,
    upper: csr_array[Any, Any] | None = None,
    upper_rhs: Floats | None = None,
    bounds: Floats | None = None,
) -> Solution:
    """Return the minimiser of ``cost @ x`` with ``equal @ x = equal_rhs``, ``upper @ x <= upper_rhs`` within bounds.

    Bounds are rows (low, high); left out, x is at least 0.
    """
    options: dict[str, Any] = {"A_ub": upper, "b_ub": upper_rhs, "A_eq": equal, "b_eq": equal_rhs, "method": "highs"}
    options["bounds"] = (0, None) if bounds is None else bounds
    result: Any = linprog(cost, **options)
    if result.status != 0:
        return Solution(np.zeros(0), np.inf, str(result.message))
    return Solution(np.asarray(result.x, dtype=float), float(result.fun), "")
