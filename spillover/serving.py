"""A few read-only HTTP endpoints for a daemon: health, readiness, metrics, one JSON document. Standard library only."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from spillover.model import SpilloverError

if TYPE_CHECKING:
    import socket

_MOST_THREADS = 32
"""Requests served at the same time; further connections wait in the backlog, so a flood cannot grow the process."""

_IDLE_S = 5.0
"""A client that sends nothing for this long gives its thread back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and content type of a response."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def text(cls, status: int, line: str) -> Self:
        """Answer with one line of text."""
        return cls(status, f"{line}\n".encode())

    @classmethod
    def json(cls, status: int, value: Any) -> Self:
        """Answer with a JSON document; NaN and Infinity, which JSON does not know, are errors."""
        return cls(status, json.dumps(value, allow_nan=False).encode() + b"\n", "application/json")

    @classmethod
    def metrics(cls, registry: CollectorRegistry) -> Self:
        """Answer with everything in the registry, as Prometheus reads it."""
        return cls(200, generate_latest(registry), CONTENT_TYPE_LATEST)


Routes = Mapping[str, Callable[[], Answer]]


def probes(alive: Callable[[], bool], not_ready: Callable[[], str], *, stuck: str) -> Routes:
    """Return /healthz and /readyz of a daemon.

    Parameters
    ----------
    alive
        Whether what must move moves.
    not_ready
        Why it is not ready; empty when it is.
    stuck
        What is said when it is not alive.
    """

    def health() -> Answer:
        return Answer.text(200, "ok") if alive() else Answer.text(503, stuck)

    def ready() -> Answer:
        why = not_ready()
        return Answer.text(503, why) if why else Answer.text(200, "ready")

    return {"/healthz": health, "/readyz": ready}


def parse_listen(listen: str) -> tuple[str, int]:
    """Split ``host:port``; the port 0 lets the system choose.

    Raises
    ------
    SpilloverError
        If it is anything else.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise SpilloverError(f"listen must be host:port, got {listen!r}")
    return host.strip("[]"), int(port)


class Endpoints:
    """The HTTP server of a daemon, in threads of its own; a context manager that starts and stops it.

    Parameters
    ----------
    listen
        ``host:port``.
    routes
        Path to a function without arguments that answers it at once; it is called from several threads.

    Raises
    ------
    SpilloverError
        If the address cannot be listened on.
    """

    def __init__(self, listen: str, routes: Routes) -> None:
        host, port = parse_listen(listen)
        handler = type("Handler", (_Handler,), {"routes": dict(routes)})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise SpilloverError(f"listen must be a free address, got {listen!r}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self._free = threading.BoundedSemaphore(_MOST_THREADS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Say nothing: a client that hangs up is its own affair, and a traceback is no log line."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    wbufsize = -1  # one packet an answer: with the default of 0 Nagle's algorithm adds 40 ms
    disable_nagle_algorithm = True
    routes: ClassVar[Routes] = {}

    def do_GET(self) -> None:
        route = self.routes.get(self.path.partition("?")[0])
        answer = Answer.text(404, "not found") if route is None else route()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        # A kept connection would hold a thread, and could be closed just as the client uses it again.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def version_string(self) -> str:
        return "spillover"

    def log_message(self, *_: Any) -> None:
        """Say nothing: probes would fill the log."""
