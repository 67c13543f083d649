"""Edges sum and broadcast the same in either layout, and padding a matrix leaves the optimum where it is."""

from __future__ import annotations

import numpy as np
import pytest

from spillover.optimum import random_snapshot, solve
from spillover.policies import flow, get
from spillover.policies.edges import Lists, Matrix, edges_of

ROW = np.array([0, 0, 0, 1, 1, 2, 2, 2])
COLUMN = np.array([0, 2, 3, 1, 3, 0, 1, 2])
VALUES = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 6.0, 8.0, 7.0])


def test_rows_of_about_the_same_length_are_a_matrix_and_others_lists() -> None:
    assert isinstance(edges_of(ROW, COLUMN, copies=True), Matrix)
    assert isinstance(edges_of(ROW, COLUMN, copies=False), Lists)
    star = np.array([0, 0, 0, 0, 0, 1, 2])
    assert isinstance(edges_of(star, np.array([0, 1, 2, 3, 4, 0, 0]), copies=True), Lists)


@pytest.mark.parametrize("copies", [True, False])
def test_least_and_largest_are_those_of_each_row(copies: bool) -> None:
    edges = edges_of(ROW, COLUMN, copies=copies)
    values = edges.lay_out(VALUES)
    assert edges.row_least(values).tolist() == [1.0, 4.0, 6.0]
    assert edges.row_largest(values).tolist() == [3.0, 5.0, 8.0]


@pytest.mark.parametrize("copies", [True, False])
def test_sums_are_those_of_the_flows_that_are_collected(copies: bool) -> None:
    edges = edges_of(ROW, COLUMN, copies=copies)
    laid_out = edges.lay_out(VALUES)
    flow = edges.collect(laid_out)
    assert edges.row_sum(laid_out).tolist() == np.bincount(ROW, flow).tolist()
    assert edges.column_sum(laid_out).tolist() == np.bincount(COLUMN, flow).tolist()


@pytest.mark.parametrize("copies", [True, False])
def test_a_value_by_row_meets_all_edges_of_its_row(copies: bool) -> None:
    edges = edges_of(ROW, COLUMN, copies=copies)
    spread = edges.lay_out(VALUES) * 0.0 + edges.spread(np.array([1.0, 2.0, 3.0]))
    assert (spread == edges.lay_out(ROW + 1.0)).all()


def test_a_shorter_row_is_filled_with_copies_of_its_own_edges() -> None:
    edges = Matrix(np.bincount(ROW), COLUMN)
    assert edges.lay_out(VALUES)[:, 1].tolist() == [5.0, 4.0, 5.0]
    assert edges.column[:, 1].tolist() == [1, 3, 1]
    assert edges.collect(edges.lay_out(np.ones(8))).tolist() == [1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0]


def test_a_large_problem_with_rows_of_different_lengths_is_solved_as_a_small_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshot = random_snapshot(11, sites=60, peers=8, overload=False)
    links = tuple(link for number, link in enumerate(snapshot.links) if number % 7)
    snapshot = type(snapshot)(snapshot.sites, links)
    seen: list[object] = []
    lay_out = flow.edges_of
    monkeypatch.setattr(flow, "edges_of", lambda *args, **kwargs: seen.append(lay_out(*args, **kwargs)) or seen[-1])
    monkeypatch.setattr(flow, "DENSE_SITES", 30)
    decision, _ = get("cooperative")(snapshot, None)
    best = solve(snapshot, tolerance=1e-4).mean_ms
    assert isinstance(seen[0], Matrix)
    assert seen[0].column.size > len(links) + 60
    assert decision.predicted_mean_ms == pytest.approx(best, rel=0.01)
