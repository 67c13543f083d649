"""Integer weights sum exactly, are never negative, and follow the order of the fractions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import SpilloverError
from spillover.weights import to_integers

shares = st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1e9), min_size=1, max_size=9).filter(
    lambda d: sum(d.values()) > 0
)


@given(shares, st.integers(1, 10_000))
def test_the_total_is_exact_and_nothing_is_negative(fractions: dict[str, float], total: int) -> None:
    units = to_integers(fractions, total, tie_order=[])
    assert sum(units.values()) == total
    assert min(units.values()) >= 0
    assert list(units) == list(fractions)


@given(shares, st.integers(1, 10_000))
def test_a_larger_fraction_never_gets_a_smaller_weight(fractions: dict[str, float], total: int) -> None:
    units = to_integers(fractions, total, tie_order=[])
    whole = sum(fractions.values())
    for one, x in fractions.items():
        for other, y in fractions.items():
            if x / whole * total > y / whole * total + 1e-6:
                assert units[one] >= units[other]


@given(shares, st.integers(1, 10_000))
def test_each_weight_is_within_one_of_its_exact_value(fractions: dict[str, float], total: int) -> None:
    units = to_integers(fractions, total, tie_order=[])
    whole = sum(fractions.values())
    assert all(abs(units[name] - value / whole * total) <= 1 + 1e-6 for name, value in fractions.items())


@given(shares, st.integers(1, 10_000))
def test_a_zero_share_gets_nothing(fractions: dict[str, float], total: int) -> None:
    units = to_integers(fractions | {"nobody": 0.0}, total, tie_order=["nobody"])
    assert units["nobody"] == 0


def test_ties_go_in_the_order_given_then_by_name() -> None:
    thirds = {"c": 1 / 3, "b": 1 / 3, "a": 1 / 3}
    assert to_integers(thirds, 100, tie_order=["b"]) == {"c": 33, "b": 34, "a": 33}
    assert to_integers(thirds, 100, tie_order=[]) == {"c": 33, "b": 33, "a": 34}
    assert to_integers(thirds, 101, tie_order=["c"]) == {"c": 34, "b": 33, "a": 34}


@pytest.mark.parametrize("total", [0, -1, 1.5, True, 10**7])
def test_a_bad_total_is_refused(total: int) -> None:
    with pytest.raises(SpilloverError, match="total must be a whole number from 1 to 1000000"):
        to_integers({"a": 1.0}, total, tie_order=[])


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_bad_share_is_refused_by_name(value: float) -> None:
    with pytest.raises(SpilloverError, match="the share of a must be finite and at least 0"):
        to_integers({"a": value, "b": 1.0}, 100, tie_order=[])


@pytest.mark.parametrize("fractions", [{}, {"a": 0.0}])
def test_no_share_at_all_is_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(SpilloverError, match="shares must have a finite sum above 0"):
        to_integers(fractions, 100, tie_order=[])
