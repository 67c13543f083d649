"""A secret in a file, read anew each time: who mounts it may replace it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.sources.fetch import SourceError

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 16_384


def read_token(path: Path) -> str:
    """Return the one word that the file holds.

    Raises
    ------
    SourceError
        If it cannot be read, or holds anything that no header can carry; what it holds is never shown.
    """
    try:
        with path.open(encoding="ascii") as file:
            token = file.read(_LONGEST).strip()
    except OSError as error:
        raise SourceError(f"token_file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        token = ""
    if not token or len(token) >= _LONGEST or not token.isprintable() or " " in token:
        raise SourceError(f"token_file {path} must hold one word of printable ASCII, and it does not")
    return token
