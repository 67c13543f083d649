"""Sums and broadcasts over the edges of a bipartite graph, laid out so that numpy is quick at them.

Where all rows have about the same number of edges, values by edge are matrices of shape ``(degree, rows)``: the sum
over a row's edges is then the sum over an axis, and a value by row meets all of its edges by broadcasting. At 9,000
edges that takes 3 and 4 microseconds instead of 11 and 8. Elsewhere they are lists, sorted by row.

"Laid out" are values by edge in the shape of the layout. Sums over columns are by ``bincount`` in either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spillover.policies.queueing import Floats, Ints

MOST_PADDING = 1.25
"""A matrix may have so many times as many entries as there are edges; beyond that it would be slower than lists."""


class Lists:
    """Edges of rows of any length: values by edge as they come, sorted by row.

    Attributes
    ----------
    column : array of int
        Column by edge, laid out.
    """

    def __init__(self, row: Ints, column: Ints) -> None:
        self.row, self.column = row, column
        self.start = np.searchsorted(row, np.arange(int(row[-1]) + 1))
        self.columns = int(column.max()) + 1

    def lay_out(self, values: Floats) -> Floats:
        """Lay out values that are given in the order of the edges."""
        return values

    def collect(self, flow: Floats) -> Floats:
        """Return laid-out flows in the order of the edges."""
        return flow

    def spread(self, by_row: NDArray[Any]) -> NDArray[Any]:
        """Return each edge's value of its row, in a shape that broadcasts with what is laid out."""
        return by_row.take(self.row)

    def row_sum(self, values: Floats) -> Floats:
        """Sum over each row's edges."""
        return np.add.reduceat(values, self.start)

    def row_least(self, values: Floats) -> Floats:
        """Return the least of each row's values."""
        return np.minimum.reduceat(values, self.start)

    def row_largest(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the largest of each row's values."""
        return np.maximum.reduceat(values, self.start)

    def column_sum(self, values: Floats) -> Floats:
        """Sum over each column's edges."""
        return cast("Floats", np.bincount(self.column, values, self.columns))


class Matrix:
    """Edges of rows of about the same length: values by edge as ``(degree, rows)``.

    Shorter rows are filled with copies of their edges. A copy is an edge like any other between its ends: flows are
    divided among the copies, and the optimum stays the same. So nothing has to be masked.
    """

    def __init__(self, degree: Ints, column: Ints) -> None:
        self.edge = np.cumsum(degree) - degree + np.arange(int(degree.max()))[:, None] % degree
        self.edges = len(column)
        self.column = column[self.edge]
        self.flat_column, self.columns = self.column.ravel(), int(column.max()) + 1

    def lay_out(self, values: Floats) -> Floats:
        """Lay out values that are given in the order of the edges; copies have the value of their edge."""
        return values[self.edge]

    def collect(self, flow: Floats) -> Floats:
        """Return laid-out flows in the order of the edges, those of copies summed."""
        return cast("Floats", np.bincount(self.edge.ravel(), flow.ravel(), self.edges))

    def spread(self, by_row: NDArray[Any]) -> NDArray[Any]:
        """Return the values as they are: they broadcast with what is laid out."""
        return by_row

    def row_sum(self, values: Floats) -> Floats:
        """Sum over each row's edges."""
        return cast("Floats", np.add.reduce(values, 0))

    def row_least(self, values: Floats) -> Floats:
        """Return the least of each row's values."""
        return cast("Floats", np.minimum.reduce(values, 0))

    def row_largest(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the largest of each row's values."""
        return cast("NDArray[Any]", np.maximum.reduce(values, 0))

    def column_sum(self, values: Floats) -> Floats:
        """Sum over each column's edges."""
        return cast("Floats", np.bincount(self.flat_column, values.ravel(), self.columns))


Edges: TypeAlias = Lists | Matrix


def edges_of(row: Ints, column: Ints, *, copies: bool) -> Edges:
    """Lay out edges that are sorted by row; every row and every column has one.

    Parameters
    ----------
    row, column : arrays of int
        By edge.
    copies : bool
        Whether an edge may stand in a matrix more than once.
    """
    degree = np.bincount(row)
    if copies and int(degree.max()) * len(degree) <= MOST_PADDING * len(row):
        return Matrix(degree, column)
    return Lists(row, column)
