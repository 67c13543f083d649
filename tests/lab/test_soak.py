"""Connections that last, while the rates and limits around them change: 1 minute here, and 10 by ``make soak``."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

import pytest
from callee import APPLICATION, channel, chat, served_by
from crowd import Crowd
from lab_helpers import CLIENT_PORT, HOST, SITES
from telling import effective, peers, tell
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

SOAK_S = float(os.environ.get("SPILLOVER_SOAK_S", "60"))
pytestmark = [pytest.mark.lab, pytest.mark.timeout(SOAK_S + 300), pytest.mark.usefixtures("callee")]

RATES_RPS = (8.0, 20.0, 12.0, 25.0, 16.0)
CHANGES_S = 6.0
"""From one change to the next: a controller writes an object at most every 5 s."""

OFFERED_RPS = 40.0
BURST = 2


class Talk(Protocol):
    """Something said on a connection that is already there, and said back."""

    site: str

    def say(self, number: int) -> None:
        """Say a number; AssertionError or an error of the connection's if it is not said back."""
        ...


class WebSocket:
    def __init__(self, stack: contextlib.ExitStack) -> None:
        door = socket.create_connection((SITES["edge1"]["address"], CLIENT_PORT), timeout=10)
        self._connection = stack.enter_context(connect(f"ws://{HOST}/echo", sock=door, open_timeout=10))
        assert self._connection.response is not None
        self.site = self._connection.response.headers["x-served-by"]

    def say(self, number: int) -> None:
        self._connection.send(str(number))
        assert self._connection.recv(timeout=5) == str(number)


class Stream:
    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._messages: SimpleQueue[bytes | None] = SimpleQueue()
        self._call = chat(stack.enter_context(channel("edge1")), iter(self._messages.get, None))
        stack.callback(self._messages.put, None)
        self.say(0)
        self.site = served_by(self._call)

    def say(self, number: int) -> None:
        self._messages.put(b"%d" % number)
        assert next(self._call) == b"%d" % number


class KeptAlive:
    """Plain HTTP/1.1; whoever serves, it is the connection that must stay."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._connection = http.client.HTTPConnection(SITES["edge1"]["address"], CLIENT_PORT, timeout=10)
        stack.callback(self._connection.close)
        self._connection.connect()
        self._socket = self._connection.sock
        self.site = "any"
        self.kept = 0

    def say(self, number: int) -> None:
        self._connection.request("GET", f"/healthz?{number}", headers={"Host": HOST})
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 200
        self.kept += answer.headers["x-served-by"] == "edge1"
        assert self._connection.sock is self._socket


def spill_everything() -> None:
    """Mark every new request, when the bucket's first tokens are used up."""
    for application in ("", APPLICATION):
        tell("edge1", application=application, bucket_rps=0.0)
    effective()
    with contextlib.ExitStack() as stack:
        for _ in range(BURST):
            WebSocket(stack), Stream(stack)


@pytest.fixture
def talks() -> Iterator[list[Talk]]:
    """Two connections of each kind: one that is served at home and one at a peer."""
    for site in SITES:
        for application in ("", APPLICATION):
            tell(site, application=application)
    effective()
    with contextlib.ExitStack() as stack:
        home: list[Talk] = [WebSocket(stack), Stream(stack), KeptAlive(stack)]
        spill_everything()
        away: list[Talk] = [WebSocket(stack), Stream(stack), KeptAlive(stack)]
        assert {talk.site for talk in home[:2]} == {"edge1"}
        assert {talk.site for talk in away[:2]} <= set(peers("edge1"))
        yield home + away


def test_changing_rates_and_limits_reset_no_connection_and_keep_their_integral(talks: list[Talk]) -> None:
    due, changes, number = 0.0, 0, 0
    kept_alive = [talk for talk in talks if isinstance(talk, KeptAlive)]
    before = sum(talk.kept for talk in kept_alive)
    tell("edge1", bucket_rps=RATES_RPS[0])
    effective()
    with Crowd("edge1", OFFERED_RPS) as crowd:
        began_s = changed_s = time.monotonic()
        while (now_s := time.monotonic()) < began_s + SOAK_S:
            if now_s >= changed_s + CHANGES_S:
                changes += 1
                due += RATES_RPS[(changes - 1) % len(RATES_RPS)] * (now_s - changed_s)
                changed_s = now_s
                tell("edge1", bucket_rps=RATES_RPS[changes % len(RATES_RPS)], inflight_limit=100 + 10 * (changes % 3))
                tell("edge1", application=APPLICATION, bucket_rps=5.0 + changes % 2, inflight_limit=10 + changes % 2)
                tell("edge2", grants_rps={"edge1": 60.0 + 20 * (changes % 2), "cloud": 50.0})
            for talk in talks:
                talk.say(number := number + 1)
            time.sleep(1)
        due += RATES_RPS[changes % len(RATES_RPS)] * (time.monotonic() - changed_s)
    assert changes >= SOAK_S / CHANGES_S / 2
    assert not crowd.errors
    kept = crowd.served()["edge1"] + sum(talk.kept for talk in kept_alive) - before
    # Each change fills the bucket again.
    assert kept == pytest.approx(due + BURST * (changes + 1), rel=0.05)
