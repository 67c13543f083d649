"""Tables in documents: what a command measured stands between two marks, the text around them is a person's."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from spillover.model import SpilloverError


def replace_table(document: Path, name: str, table: str) -> None:
    """Put a table between its marks; SpilloverError if the document does not have them."""
    text = document.read_text(encoding="utf-8")
    begin, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise SpilloverError(f"{document.name} must have the marks {begin} and {end}")
    document.write_text(pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text), encoding="utf-8")


def machine() -> str:
    """Return when and on what it was measured, in a sentence."""
    model = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    at = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"{at}, {model}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end."
