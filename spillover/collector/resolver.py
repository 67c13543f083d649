"""The addresses behind a headless name, looked up in a thread of its own: a lookup has no deadline."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def lookup(name: str, port: int) -> list[str]:
    """Return the addresses of a name, sorted; OSError when it has none."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found})


class Resolver:
    """Keeps the last known addresses of a name.

    A failed lookup changes nothing: a pod that is gone shows when it is read. One lookup is under way at most, so a
    name server that hangs costs one thread.

    Parameters
    ----------
    lookup
        Returns the addresses or raises OSError.
    interval_s
        Seconds between two lookups.
    """

    def __init__(self, lookup: Callable[[], Sequence[str]], interval_s: float) -> None:
        self._lookup = lookup
        self._interval_s = interval_s
        self._addresses: tuple[str, ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resolver", daemon=True)

    def addresses(self) -> Sequence[str]:
        """Return the addresses of the last lookup that succeeded."""
        return self._addresses

    def start(self) -> None:
        """Begin to look up."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the lookup under way; does not wait for it."""
        self._stop.set()

    def refresh(self) -> None:
        """Look up once."""
        try:
            found = tuple(self._lookup())
        except (OSError, UnicodeError):
            return
        self._addresses = found

    def _run(self) -> None:
        while not self._stop.is_set():
            self.refresh()
            self._stop.wait(self._interval_s)
