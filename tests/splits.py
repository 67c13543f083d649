"""Integer weights for property tests."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def exact_splits(draw: st.DrawFn, size: int, total: int = 100) -> list[int]:
    """`size` whole numbers of 0 or more that sum to the total."""
    cuts = sorted(draw(st.lists(st.integers(0, total), min_size=size - 1, max_size=size - 1)))
    return [high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)]
