from __future__ import annotations

import json
import time
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st
from werkzeug import Response

from spillover.model import SpilloverError
from spillover.sources.dynatrace import DynatraceReader, SlotQuery, parse_slots
from spillover.sources.fetch import SourceError, http_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_httpserver import HTTPServer

FIXTURES = Path(__file__).parents[1] / "fixtures" / "dynatrace"
GOOD: dict[str, Any] = json.loads((FIXTURES / "one-series.json").read_text())
URL = "https://abc12345.live.dynatrace.example"
API = f"{URL}/api/v2/metrics/query"
NOW_S = 1790000225.0
"""The last slot of the fixture is still open."""

SELECTOR = "builtin:service.requestCount.server:splitBy()"
SECRET = "dt0c01.CANARY"  # noqa: S105  it is none


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(tmp_path: Path, clock: Clock) -> DynatraceReader:
    token = tmp_path / "token"
    token.write_text(SECRET)
    query = SlotQuery(SELECTOR, 'type("SERVICE"),tag("site:edge1")')
    return DynatraceReader(http_client(1.0), URL + "/", query, token, poll_s=20.0, clock=clock)


def answer(body: object = GOOD, *, now_s: float = NOW_S, **changes: Any) -> httpx.Response:
    return httpx.Response(200, json=body, headers={"Date": formatdate(now_s, usegmt=True)}, **changes)


def series(change: dict[str, Any]) -> dict[str, Any]:
    return GOOD | {"result": [{"metricId": SELECTOR, "data": [GOOD["result"][0]["data"][0] | change]}]}


def test_slots_that_are_over_become_samples(reader: DynatraceReader, clock: Clock) -> None:
    with respx.mock:
        asked = respx.get(url__startswith=API).mock(return_value=answer())
        assert reader.poll() == 20.0
    assert dict(asked.calls.last.request.url.params) == {
        "metricSelector": SELECTOR,
        "entitySelector": 'type("SERVICE"),tag("site:edge1")',
        "resolution": "1m",
        "from": "now-10m",
    }
    assert asked.calls.last.request.headers["authorization"] == f"Api-Token {SECRET}"
    clock.now_s += 3.0
    first, second = reader.sample(), reader.sample()
    assert (first.requests_total, first.sampled_at_s) == (0.0, 1790000160.0)
    # 1,260 in the last slot that is over; the 17 of the open one would look like a demand that has fallen.
    assert (second.requests_total, second.sampled_at_s, second.age_s) == (1260.0, 1790000220.0, 8.0)


def test_slot_that_has_just_ended_is_given_time_to_settle(reader: DynatraceReader) -> None:
    reader._query = SlotQuery(SELECTOR, settle_s=30.0)
    with respx.mock:
        respx.get(url__startswith=API).mock(return_value=answer())
        reader.poll()
    # 5 s after the end of the slot with 1,260 requests.
    assert [reader.sample().requests_total for _ in range(3)] == [0.0, 1200.0, 1200.0]


def test_step_of_this_machines_clock_changes_nothing(reader: DynatraceReader) -> None:
    with respx.mock:
        respx.get(url__startswith=API).mock(return_value=answer(now_s=NOW_S))
        reader.poll()
    assert abs(NOW_S - time.time()) > 3600
    assert reader.sample().age_s == pytest.approx(65.0)


@pytest.mark.parametrize(
    ("retry_after", "pause_s"), [("95", 95.0), ("1", 20.0), (None, 60.0), ("soon", 60.0), ("1e9", 3600.0), ("-1", 60.0)]
)
def test_too_many_questions_are_followed_by_the_pause_that_is_asked_for(
    reader: DynatraceReader, retry_after: str | None, pause_s: float
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    with respx.mock:
        respx.get(url__startswith=API).respond(
            429, json=json.loads((FIXTURES / "refusal.json").read_text()), headers=headers
        )
        assert reader.poll() == pause_s
    with pytest.raises(
        SourceError, match=f"status 429: Too many requests. Please retry later.; it is asked again after {pause_s:g} s"
    ):
        reader.sample()


def test_answer_after_an_error_is_taken_up(reader: DynatraceReader) -> None:
    with pytest.raises(SourceError, match="it has not answered yet"):
        reader.sample()
    with respx.mock:
        respx.get(url__startswith=API).mock(side_effect=[httpx.ConnectError("refused"), answer(), httpx.Response(503)])
        reader.poll()
        with pytest.raises(SourceError, match=f"^{API}: cannot be read: refused$"):
            reader.sample()
        reader.poll()
        assert reader.sample().requests_total == 0.0
        reader.poll()
        with pytest.raises(SourceError, match=f"^{API}: it answered with status 503$"):
            reader.sample()


def test_token_is_in_no_error(reader: DynatraceReader, capfd: pytest.CaptureFixture[str]) -> None:
    said = {"error": {"message": f"Token {SECRET} lacks the scope metrics.read"}}
    with respx.mock:
        respx.get(url__startswith=API).respond(403, json=said)
        reader.poll()
    with pytest.raises(SourceError, match=r"status 403: Token \*\*\* lacks the scope metrics.read") as caught:
        reader.sample()
    assert "CANARY" not in f"{caught.value!r}{caught.value.__context__!r}{capfd.readouterr()}"


def test_answer_without_a_date_is_missing(reader: DynatraceReader) -> None:
    for headers in ({}, {"Date": "tomorrow"}):
        with respx.mock:
            respx.get(url__startswith=API).respond(200, json=GOOD, headers=headers)
            reader.poll()
        with pytest.raises(SourceError, match="the answer must bear a date, got "):
            reader.sample()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (GOOD | {"resolution": "5m"}, r"must come in slots of 1m, got '5m'"),
        (GOOD | {"nextPageKey": "abc"}, r"must yield one series, as :splitBy\(\) does, got 1"),
        (GOOD | {"result": []}, r"must yield one series, as :splitBy\(\) does, got 0"),
        (GOOD | {"result": GOOD["result"] * 2}, r"must yield one series, as :splitBy\(\) does, got 2"),
        (series({"values": [1, 2, 3, -4, 5]}), "must be a finite number of 0 or more, got -4"),
        (series({"values": [1, 2, 3, "x", 5]}), "must be a finite number of 0 or more, got x"),
        (series({"values": [1, 2, 3, True, 5]}), "must be a finite number of 0 or more, got True"),
        (series({"values": [1, 2]}), "the answer must be metrics in JSON, got "),
        (series({"values": [None] * 5}), "must have a value in one of the last slots, got none"),
        (series({"timestamps": [1.5, 2, 3, 4, 5]}), r"must have times in milliseconds, got '1\.5'"),
        ([], "the answer must be metrics in JSON, got "),
        (None, "the answer must be metrics in JSON, got "),
    ],
)
def test_answer_that_cannot_be_is_named(body: object, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        parse_slots(json.dumps(body), SELECTOR, until_s=NOW_S)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_value_that_is_no_number_is_named(value: str) -> None:
    text = json.dumps(series({"values": [1, 2, 3, 4444, 5]})).replace("4444", value)
    with pytest.raises(SourceError, match=f"{SELECTOR[:20]}.* must be a finite number of 0 or more, got "):
        parse_slots(text, SELECTOR, until_s=NOW_S)


def test_open_slot_is_dropped_by_the_time_that_is_given() -> None:
    ends = [slot.ends_s for slot in parse_slots(json.dumps(GOOD), SELECTOR, until_s=1790000219.0)]
    assert ends == [1790000040.0, 1790000100.0, 1790000160.0]


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_any_value_gives_slots_or_a_clear_error(value: object) -> None:
    for change in ({"values": value}, {"timestamps": value}, {"values": [value] * 5}, {"timestamps": [value] * 5}):
        with suppress(SpilloverError):
            parse_slots(json.dumps(series(change)), SELECTOR, until_s=NOW_S)


def test_slow_server_is_asked_in_the_background(httpserver: HTTPServer, tmp_path: Path) -> None:
    def late(_: object) -> Response:
        time.sleep(1.0)
        return Response(json.dumps(GOOD), headers={"Date": formatdate(NOW_S, usegmt=True)})

    token = tmp_path / "token"
    token.write_text(SECRET)
    httpserver.expect_request("/e/1/api/v2/metrics/query").respond_with_handler(late)
    read = DynatraceReader(http_client(5.0), httpserver.url_for("/e/1"), SlotQuery(SELECTOR), token, poll_s=20.0)
    began_s = time.monotonic()
    with pytest.raises(SourceError, match="it has not answered yet"):
        read()
    assert time.monotonic() - began_s < 0.9
    assert within(30.0, read) == 0.0
    assert len(httpserver.log) == 1


def within(most_s: float, read: Callable[[], Any]) -> float:
    ends = time.monotonic() + most_s
    while time.monotonic() < ends:
        with suppress(SourceError):
            return float(read().requests_total)
        time.sleep(0.05)
    return pytest.fail(f"nothing came within {most_s:g} s")
