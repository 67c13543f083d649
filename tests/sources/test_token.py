from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spillover.sources.fetch import SourceError
from spillover.sources.token import read_token

if TYPE_CHECKING:
    from pathlib import Path


def test_word_is_returned_without_the_line_that_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("canary.secret\n")
    assert read_token(path) == "canary.secret"
    path.write_text("renewed")
    assert read_token(path) == "renewed"


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"canary secret", b"canary\nsecret", b"canary\xe9", b"canary" * 5_000]
)
def test_anything_else_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"token_file .*/token must hold one word of printable ASCII") as caught:
        read_token(path)
    assert "canary" not in str(caught.value)


def test_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"token_file .*/gone cannot be read: No such file"):
        read_token(tmp_path / "gone")
