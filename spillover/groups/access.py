"""The kubeconfigs that the daemon was given: a directory of files, which may come, change and go while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.clusters import Cluster, ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spillover.controller.edges import Edges
    from spillover.controller.reconcile import ClusterApi


class Accesses:
    """Opens each API server once, for all groups.

    Parameters
    ----------
    directory
        With a kubeconfig in each file; names that begin with a dot are not looked at (a mounted Secret has some).
    open_cluster
        Opens a file; ClusterError if it cannot be used.
    guard
        Wraps an API server so that it is written only while this process leads.
    edges
        Clocks and log.
    opened
        Is told each API server that was opened, by the name of its file.
    """

    def __init__(
        self,
        directory: Path,
        open_cluster: Callable[[Path], Cluster],
        guard: Callable[[Cluster], ClusterApi],
        edges: Edges,
        opened: Callable[[str, Cluster], None] = lambda _name, _cluster: None,
    ) -> None:
        self._directory = directory
        self._open_cluster = open_cluster
        self._guard = guard
        self._edges = edges
        self._tell = opened
        self._clusters: dict[Path, Cluster] = {}
        self._guarded: dict[Path, ClusterApi] = {}
        self._unusable: dict[Path, int] = {}
        self.files: dict[str, Path] = {}

    @property
    def servers(self) -> dict[str, str]:
        """Address of the API server by name of the file."""
        return {name: self._clusters[path].server for name, path in self.files.items()}

    def refresh(self) -> None:
        """Look at the directory again; a file that cannot be used is logged once and counts as absent."""
        try:
            found = {path.name: path for path in self._directory.iterdir() if path.name[0] != "." and path.is_file()}
        except OSError:
            found = {}
        self.files = {name: path for name, path in sorted(found.items()) if self._opened(path)}

    def api(self, path: Path) -> ClusterApi:
        """Return the API server of a file that was usable at some time."""
        return self._guarded[path]

    def _opened(self, path: Path) -> bool:
        # A cluster reads its file again by itself, when its credentials are old or refused.
        if path in self._clusters:
            return True
        try:
            changed = path.stat().st_mtime_ns
            if self._unusable.get(path) == changed:
                return False
            self._unusable[path] = changed
            self._clusters[path] = self._open_cluster(path)
        except (OSError, ClusterError) as error:
            why = str(error) if isinstance(error, ClusterError) else str(error.strerror)
            self._edges.log("kubeconfig_unusable", {"time": self._edges.wall_clock(), "name": path.name, "error": why})
            return False
        self._guarded[path] = self._guard(self._clusters[path])
        self._tell(path.name, self._clusters[path])
        return True
