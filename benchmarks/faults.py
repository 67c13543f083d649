"""The table of faults in the lab, from what ``tests/lab/test_faults.py`` left in results/faults.json.

python benchmarks/faults.py [--results results/faults.json] [--document docs/faults.md]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from documents import replace_table

from spillover.model import SpilloverError

ROOT = Path(__file__).parents[1]


def table(faults: dict[str, dict[str, Any]]) -> str:
    """Return the table, a fault a line."""
    lines = [
        f"As seen on {', '.join(sorted({seen['at'] for seen in faults.values()}))}.\n",
        "| fault | requests | errors | slowest | until all was as before |",
        "|---|---:|---|---:|---:|",
    ]
    for fault, seen in sorted(faults.items()):
        errors = ", ".join(f"{count} of {kind}" for kind, count in sorted(seen["errors"].items())) or "none"
        lines.append(
            f"| {fault} | {seen['requests']} | {errors} | {seen['slowest_ms']} ms | {seen['recovered_s']:.1f} s |"
        )
    return "\n".join(lines) + "\n"


def main(
    results: Annotated[Path, typer.Option(help="What the tests left.")] = ROOT / "results/faults.json",
    document: Annotated[Path, typer.Option(help="Where the table stands.")] = ROOT / "docs/faults.md",
) -> None:
    """Put the table into the document."""
    try:
        replace_table(document, "faults", table(json.loads(results.read_text(encoding="utf-8"))))
    except (OSError, ValueError, KeyError, SpilloverError) as error:
        print(f"faults: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
