from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.classes import RequestClass, counted_class, counter_names, parse_classes
from spillover.model import SpilloverError

GOLD: dict[str, Any] = {"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}}
BATCH: dict[str, Any] = {"name": "batch", "match": {"path": {"prefix": "/batch/"}}}
REST: dict[str, Any] = {"name": "rest"}


def test_classes_keep_their_order_and_the_last_needs_no_match() -> None:
    assert [one.name for one in parse_classes([BATCH, GOLD, REST])] == ["batch", "gold", "rest"]
    assert parse_classes([]) == ()


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ([GOLD | {"name": "Gold"}], "settings: classes.0.name must match pattern .*, got 'Gold'"),
        ([GOLD, REST, GOLD], "settings: classes: each class must be named once, got 'gold' twice"),
        ([REST, GOLD], "settings: classes: every class but the last must have a match, got none for 'rest'"),
        ([{"name": "a", "match": {}}], "classes.0.match: one of header and path must be given, got none"),
        (
            [{"name": "a", "match": GOLD["match"] | BATCH["match"]}],
            "classes.0.match: one of header and path must be given, got both",
        ),
        (
            [{"name": "a", "match": {"header": {"name": "x-tier"}}}],
            "classes.0.match.header: one of exact and prefix must be given, got None and None",
        ),
        (
            [{"name": "a", "match": {"header": {"name": ":path", "exact": "/"}}}],
            "classes.0.match.header.name must match pattern .*, got ':path'",
        ),
        (
            [{"name": "a", "match": {"path": {"prefix": "batch"}}}],
            "classes.0.match.path.prefix must match pattern .*, got 'batch'",
        ),
        ([{"name": "a", "weight": 3}], "classes.0.weight is not a known field, got 3"),
        ("gold", "settings: classes must be a valid tuple, got 'gold'"),
    ],
)
def test_wrong_classes_are_one_sentence(raw: object, sentence: str) -> None:
    with pytest.raises(SpilloverError, match=sentence) as caught:
        parse_classes(raw)
    assert "\n" not in str(caught.value)


def test_more_classes_than_counters_have_names_for_are_refused() -> None:
    with pytest.raises(SpilloverError, match="at most 16"):
        parse_classes([GOLD | {"name": f"c{number}"} for number in range(17)])


@given(st.lists(st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,9}[a-z0-9])?\Z"), min_size=1, max_size=16, unique=True))
def test_a_counter_tells_its_class_and_counters_sort_as_their_classes(names: list[str]) -> None:
    counters = counter_names([RequestClass(name=name) for name in names])
    assert sorted(counters) == counters
    assert [counted_class(counter) for counter in counters] == names


@pytest.mark.parametrize("counter", ["istio_dry_run", "class_0_gold", "class_00_"])
def test_a_counter_of_something_else_has_no_class(counter: str) -> None:
    assert counted_class(counter) is None
