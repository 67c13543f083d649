"""Sites that are not there, for `many_sites.py`: their collectors, or their API servers, on loopback.

    python benchmarks/fake_sites.py collectors|api_servers PLAN.json

Answers each question after the plan's ``rtt_ms``. The first line on standard output says which port is whose; when
standard input ends, a second one says what was asked when (monotonic seconds), and the process ends, as it does when
whoever started it is no more.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import ssl
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = tuple[int, dict[str, Any]]
_REASONS = {200: "OK", 201: "Created", 404: "Not Found", 409: "Conflict", 422: "Unprocessable Entity"}


@dataclass
class Collector:
    """A site's collector as one behind a proxy is: connections stay, the counter grows by a Poisson process."""

    site: str
    demand_rps: float
    swing: float
    swing_s: float
    service_s: float
    random: np.random.Generator
    requests_total: int = 0
    read_s: float = field(default_factory=time.monotonic)

    def answer(self, *_: object) -> Answer:
        """Return the body of /demand."""
        before_s, self.read_s = self.read_s, time.monotonic()
        self.requests_total += int(self.random.poisson(self._expected(self.read_s) - self._expected(before_s)))
        rate_rps = self.demand_rps * (1.0 + self.swing * math.sin(self.read_s / self.swing_s))
        return 200, {
            "site": self.site,
            "requests_total": self.requests_total,
            "sampled_at_s": self.read_s,
            "gateways": 1,
            "in_flight": float(round(rate_rps * self.service_s)),
            "replicas": 1,
            "age_s": 0.0,
            "continuous_since_s": 0.0,
        }

    def _expected(self, at_s: float) -> float:
        """Return the integral of the rate."""
        return self.demand_rps * (at_s - self.swing * self.swing_s * math.cos(at_s / self.swing_s))


class ApiServer:
    """What a site's API server holds: objects with a resourceVersion, which a write has to know.

    Parameters
    ----------
    objects
        By path.
    """

    def __init__(self, objects: dict[str, dict[str, Any]]) -> None:
        self._objects = objects
        self._version = 1000

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return what the real one would."""
        if method == "POST":
            made = json.loads(body)
            return 201, self._stored(f"{path}/{made['metadata']['name']}", made)
        if path not in self._objects:
            return _status(404, "not found")
        if method == "GET":
            return 200, self._objects[path]
        return self._written(path, json.loads(body))

    def _written(self, path: str, change: Any) -> Answer:
        found = self._objects[path]
        version = change[0]["value"] if isinstance(change, list) else change["metadata"]["resourceVersion"]
        if version != found["metadata"]["resourceVersion"]:
            return _status(422 if isinstance(change, list) else 409, "the object has been modified")
        if isinstance(change, list):
            for operation in change[1:]:
                _put(found, operation["path"], operation["value"])
            return 200, self._stored(path, found)
        annotations = found["metadata"].get("annotations", {}) | change["metadata"].get("annotations", {})
        merged = found | change
        merged["metadata"] = found["metadata"] | change["metadata"] | {"annotations": annotations}
        return 200, self._stored(path, merged)

    def _stored(self, path: str, made: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        made["metadata"]["resourceVersion"] = str(self._version)
        self._objects[path] = made
        return made


class Connection(asyncio.Protocol):
    """One kept HTTP/1.1 connection.

    Parameters
    ----------
    asked
        Takes the method of each request.
    answer
        Takes method, path and body.
    rtt_s
        How long each answer waits.
    """

    def __init__(self, asked: Callable[[str], None], answer: Callable[[str, str, bytes], Answer], rtt_s: float) -> None:
        self._asked = asked
        self._answer = answer
        self._rtt_s = rtt_s
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  what TCP gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole; nobody sends a second one before."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        lengths = [int(line.partition(b":")[2]) for line in lines if line[:15].lower() == b"content-length:"]
        if not end or len(body) < sum(lengths):
            return
        self._received = b""
        method, target, _ = lines[0].decode().split(" ")
        self._asked(method)
        status, document = self._answer(method, target.partition("?")[0], body)
        payload = json.dumps(document, separators=(",", ":")).encode()
        about = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        answer = f"{about}Content-Length: {len(payload)}\r\n\r\n".encode() + payload
        asyncio.get_running_loop().call_later(self._rtt_s, self._transport.write, answer)


def _status(code: int, message: str) -> Answer:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}


def _put(place: Any, path: str, value: Any) -> None:
    *parents, last = path.strip("/").split("/")
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[last] = value


def _collectors(plan: dict[str, Any]) -> dict[str, Callable[[str, str, bytes], Answer]]:
    seeds = np.random.SeedSequence(plan["seed"]).spawn(len(plan["collectors"]))
    return {
        name: Collector(name, **site, random=np.random.default_rng(seed)).answer
        for (name, site), seed in zip(plan["collectors"].items(), seeds, strict=True)
    }


def _api_servers(plan: dict[str, Any]) -> dict[str, Callable[[str, str, bytes], Answer]]:
    return {name: ApiServer(objects).answer for name, objects in plan["api_servers"].items()}


async def serve(plan: dict[str, Any], which: str) -> None:
    """Listen for every site until standard input ends."""
    context = None
    if which == "api_servers":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(plan["certificate"])
    loop = asyncio.get_running_loop()
    asked: list[tuple[float, str, str]] = []
    ports = {}
    for name, answer in (_api_servers if which == "api_servers" else _collectors)(plan).items():
        note = partial(_note, asked, name)
        made = partial(Connection, note, answer, plan["rtt_ms"] / 1000.0)
        server = await loop.create_server(made, "127.0.0.1", 0, ssl=context, backlog=16)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(asked), flush=True)


def _note(asked: list[tuple[float, str, str]], site: str, method: str) -> None:
    asked.append((time.monotonic(), site, method))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of standard input is the end, also after Ctrl-C
    asyncio.run(serve(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), sys.argv[1]))
