"""gRPC, by a second application behind the same gateways: calls and streams are led as requests are."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest
from callee import APPLICATION, channel, chat, say, served_by
from lab_helpers import SITES
from telling import PLENTY, effective, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600), pytest.mark.usefixtures("callee")]


@pytest.fixture
def edge1() -> Iterator[grpc.Channel]:
    for site in SITES:
        tell(site, application=APPLICATION)
    effective()
    with channel("edge1") as opened:
        yield opened


def told(site: str, **changes: object) -> None:
    tell(site, application=APPLICATION, **changes)
    effective()


def test_calls_are_kept_while_the_bucket_has_tokens_and_spilled_beyond(edge1: grpc.Channel) -> None:
    assert Counter(say(edge1) for _ in range(20)) == {"edge1": 20}
    told("edge1", bucket_rps=0.0)
    served = Counter(say(edge1) for _ in range(40))
    assert served["edge1"] <= 2  # the tokens that the bucket began with
    assert served["edge2"] == pytest.approx(served["cloud"], abs=2)


def test_a_call_that_a_peer_refuses_goes_to_the_other_peer(edge1: grpc.Channel) -> None:
    told("edge1", bucket_rps=0.0)
    told("edge2", grants_rps={"edge1": 0.0, "cloud": float(PLENTY)})
    served = Counter(say(edge1) for _ in range(40))
    assert served["edge1"] + served["edge2"] <= 4  # the tokens that both buckets began with
    assert served["cloud"] >= 36


def test_a_stream_begun_at_a_peer_stays_there(edge1: grpc.Channel) -> None:
    told("edge1", bucket_rps=0.0)
    for _ in range(2):
        say(edge1)
    messages: SimpleQueue[bytes | None] = SimpleQueue()
    call = chat(edge1, iter(messages.get, None))
    messages.put(b"first")
    assert next(call) == b"first"
    assert served_by(call) in {"edge2", "cloud"}
    told("edge1")
    messages.put(b"second")
    assert next(call) == b"second"
    messages.put(None)
    assert list(call) == []


def test_calls_beyond_the_limit_of_the_application_go_to_the_peers(edge1: grpc.Channel) -> None:
    told("edge1", inflight_limit=1, last_limit=2)
    held: SimpleQueue[bytes | None] = SimpleQueue()
    call = chat(edge1, iter(held.get, None))
    held.put(b"here")
    assert next(call) == b"here"
    assert served_by(call) == "edge1"
    with ThreadPoolExecutor(4) as threads:  # the stream counts as one request in flight for as long as it lasts
        assert set(threads.map(lambda _: say(edge1), range(20))) <= {"edge2", "cloud"}
    held.put(None)
    assert list(call) == []
