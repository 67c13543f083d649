"""The sources of demand that the daemon was given: a directory of YAML files, which may come, change and go.

A group names a file and holds no address and no secret of it: a token is sent only to the address that is beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillover.controller.config import SOURCES
from spillover.model import SpilloverError
from spillover.validation import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from spillover.controller.edges import Edges


class Sources:
    """Reads each file again when it has changed.

    Parameters
    ----------
    directory
        With one source in each file, as docs/sources.md says it of a site; None for a daemon without any.
    edges
        Clocks and log.
    """

    def __init__(self, directory: Path | None, edges: Edges) -> None:
        self._directory = directory
        self._edges = edges
        self._seen: dict[Path, tuple[int, dict[str, Any] | None]] = {}
        self.known: dict[str, dict[str, Any]] = {}

    def refresh(self) -> None:
        """Look at the directory again; a file that cannot be used is logged once and counts as absent."""
        try:
            paths = sorted(self._directory.iterdir()) if self._directory is not None else []
        except OSError:
            paths = []
        found = {path.name: self._read(path) for path in paths if path.name[0] != "." and path.is_file()}
        self.known = {name: source for name, source in found.items() if source is not None}

    def _read(self, path: Path) -> dict[str, Any] | None:
        changed = path.stat().st_mtime_ns
        if path not in self._seen or self._seen[path][0] != changed:
            self._seen[path] = (changed, self._parsed(path))
        return self._seen[path][1]

    def _parsed(self, path: Path) -> dict[str, Any] | None:
        try:
            return _checked(path)
        except SpilloverError as error:
            fields = {"time": self._edges.wall_clock(), "name": path.name, "error": str(error)}
            self._edges.log("source_unusable", fields)
            return None


def _checked(path: Path) -> dict[str, Any]:
    raw = read_yaml(path)
    if not isinstance(raw, dict) or len(raw) != 1 or not raw.keys() <= set(SOURCES):
        raise SpilloverError(f"{path} must have one of {', '.join(SOURCES)}")
    return raw
