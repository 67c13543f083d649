"""The layers of the package, and the libraries that have one door each."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_the_layers_hold(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run(
        [str(program), "--cache-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("library", "door"),
    [
        ("kubernetes", "spillover/clusters.py"),
        ("locust", "loadtest/"),
        ("gevent", "loadtest/"),
        ("ansible", "plugins/"),
    ],
)
def test_a_library_with_one_door_is_imported_there_only(library: str, door: str) -> None:
    folders = ("spillover", "loadtest", "analysis", "workload", "plugins")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    users = [str(path.relative_to(ROOT)) for path in files if library in imported(path)]
    assert [user for user in users if not user.startswith(door)] == []
