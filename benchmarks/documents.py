"""Tables in documents: what a command measured stands between two marks, the text around them is a person's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from pathlib import Path


def replace_table(document: Path, name: str, table: str) -> None:
    """Put a table between its marks; SpilloverError if the document does not have them."""
    text = document.read_text(encoding="utf-8")
    begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise SpilloverError(f"{document.name} must have the marks {begin} and {end}")
    document.write_text(pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text), encoding="utf-8")
