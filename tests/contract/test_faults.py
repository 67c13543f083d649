"""docs/faults.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs/faults.md").read_text(encoding="utf-8").partition("## Each fault and its tests")[2]
NAMED = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", TABLE)


def test_there_are_names_to_look_for() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_a_named_test_exists(path: str, name: str) -> None:
    text = (TESTS / path.removeprefix("tests/")).read_text(encoding="utf-8")
    assert f"def {name}(" in text if name else "def test_" in text
