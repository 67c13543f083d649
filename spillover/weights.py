"""Fractions to integers with an exact total: the largest remainder method (Hamilton's apportionment)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_UNITS = 1_000_000
NOISE = 1e-9
"""Remainders closer than this are equal, so that a rounding error in the last bit never decides a tie."""


def check_total(total: object) -> None:
    """Raise SpilloverError unless the total is a whole number from 1 to a million."""
    if isinstance(total, bool) or not isinstance(total, int) or not 1 <= total <= MOST_UNITS:
        raise SpilloverError(f"total must be a whole number from 1 to {MOST_UNITS}, got {total!r}")


def to_integers(fractions: Mapping[str, float], total: int, *, tie_order: Sequence[str]) -> dict[str, int]:
    """Round shares of any sum above 0 to whole numbers that sum to ``total`` exactly.

    Parameters
    ----------
    fractions : mapping of str to float
        Shares, at least one above 0; they are divided by their sum.
    total : int
        What the result sums to, from 1 to a million.
    tie_order : sequence of str
        Who gets a unit first among equal remainders; names that are not in it follow in alphabetical order.

    Returns
    -------
    dict of str to int
        One entry for each share, in the order given; each within 1 of its exact value.

    Raises
    ------
    SpilloverError
        If the total is out of range, or the shares are negative, not finite or all 0.
    """
    check_total(total)
    for name, value in fractions.items():
        if not math.isfinite(value) or value < 0:
            raise SpilloverError(f"the share of {name} must be finite and at least 0, got {value!r}")
    whole = math.fsum(fractions.values())
    if whole <= 0 or not math.isfinite(whole):
        raise SpilloverError(f"shares must have a finite sum above 0, got {dict(fractions)!r}")
    exact = {name: value / whole * total for name, value in fractions.items()}
    floors = {name: math.floor(value + NOISE) for name, value in exact.items()}
    rank = {name: place for place, name in enumerate(tie_order)}
    remainders = {name: round((exact[name] - floors[name]) / NOISE) for name in exact}
    first_served = sorted(exact, key=lambda name: (-remainders[name], rank.get(name, len(rank)), name))
    left = total - sum(floors.values())
    for name in first_served[:left]:
        floors[name] += 1
    return floors
