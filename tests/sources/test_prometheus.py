from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import SpilloverError
from spillover.sources.fetch import SourceError, http_client
from spillover.sources.prometheus import PrometheusReader, parse_answer
from spillover.sources.promql import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "http://prometheus.monitoring/prefix"
API = f"{URL}/api/v1/query"
NOW_S = 1.79e9
SELECTION = Selection("requests_total", "instance", "active", "replicas")


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with http_client(1.0) as opened:
        yield opened


def row(kind: str, value: object, pod: str | None = "a:15090") -> dict[str, Any]:
    labels = {"spillover": kind} | ({} if pod is None else {"instance": pod})
    return {"metric": labels, "value": [NOW_S, str(value)]}


def pod_rows(total: object, scraped_s: float, pod: str = "a:15090") -> list[dict[str, Any]]:
    return [row("requests", total, pod), row("oldest", scraped_s, pod), row("newest", scraped_s, pod)]


def body(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(rows)}}


def read(client: httpx.Client, *answers: dict[str, Any], token_file: Path | None = None) -> Any:
    reader = PrometheusReader(client, URL + "/", SELECTION, deadline_s=0.5, token_file=token_file)
    with respx.mock:
        respx.post(API).mock(side_effect=[httpx.Response(200, json=answer) for answer in answers])
        return [reader() for _ in answers][-1]


def test_answer_becomes_a_sample(client: httpx.Client) -> None:
    first = [*pod_rows(100, NOW_S - 20), *pod_rows(50, NOW_S - 18, "b:15090")]
    then = [*pod_rows(250, NOW_S - 5), *pod_rows(80, NOW_S - 3, "b:15090"), row("in_flight", 7, None)]
    sample = read(client, body(*first), body(*then, row("replicas", 3, None)))
    assert (sample.requests_total, sample.sampled_at_s, sample.age_s) == (pytest.approx(180.0), NOW_S - 5, 5.0)
    assert (sample.in_flight, sample.replicas, sample.gateways) == (7.0, 3, 2)
    assert sample.continuous_since_s == NOW_S - 20


def test_values_that_nobody_asked_for_are_none(client: httpx.Client) -> None:
    sample = read(client, body(*pod_rows(1, NOW_S)))
    assert (sample.in_flight, sample.replicas) == (None, None)


def test_question_names_a_deadline_and_bears_the_token_as_it_is_now(client: httpx.Client, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("canary-1\n")
    reader = PrometheusReader(client, URL, SELECTION, deadline_s=0.5, token_file=token)
    with respx.mock:
        asked = respx.post(API).respond(json=body(*pod_rows(1, NOW_S)))
        reader()
        token.write_text("canary-2")
        reader()
    assert [call.request.headers["authorization"] for call in asked.calls] == ["Bearer canary-1", "Bearer canary-2"]
    assert parse_qs(asked.calls[1].request.content.decode())["timeout"] == ["0.5"]
    assert "up{" not in parse_qs(asked.calls[0].request.content.decode())["query"][0]
    assert 'up{instance=~"a:15090"}' in parse_qs(asked.calls[1].request.content.decode())["query"][0]


def test_token_is_in_no_error(client: httpx.Client, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("canary")
    with respx.mock:
        respx.post(API).respond(401, text="who is canary?")
        with pytest.raises(SourceError, match=r"status 401$") as caught:
            PrometheusReader(client, URL, SELECTION, deadline_s=0.5, token_file=token)()
    assert "canary" not in str(caught.value)


def test_servers_reason_is_told(client: httpx.Client) -> None:
    with respx.mock:
        respx.post(API).respond(400, json={"status": "error", "error": "parse error:\nunexpected ')'"})
        with pytest.raises(SourceError, match=r"query answered with status 400: parse error: unexpected '\)'"):
            PrometheusReader(client, URL, SELECTION, deadline_s=0.5)()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "requests_total must match a series, got none"),
        ([row("in_flight", 3, None)], "requests_total must match a series, got none"),
        (pod_rows("NaN", NOW_S), "requests of requests_total at a:15090 must be a finite number of 0 or more, got NaN"),
        (pod_rows("+Inf", NOW_S), r"must be a finite number of 0 or more, got \+Inf"),
        (pod_rows(-3, NOW_S), "must be a finite number of 0 or more, got -3"),
        (pod_rows("many", NOW_S), "must be a finite number of 0 or more, got many"),
        ([row("requests", 1, None)], "requests_total must have the label instance, got {}"),
        ([row("requests", 1)], r"requests_total must have a time for each of \['a:15090'\], got \[\]"),
        (
            [row("requests", 1), row("oldest", NOW_S - 9), row("newest", NOW_S)],
            "requests_total must be scraped once for each instance, got series of a:15090 that lie 9 s apart",
        ),
        ([row("in_flight", "NaN", None)], "active must be a finite number of 0 or more, got NaN"),
        ([row("in_flight", 1, None), row("in_flight", 2, "x")], "in_flight_query must yield one value, got several"),
        ([*pod_rows(1, NOW_S), row("replicas", 1.5, None)], "replicas_query must yield a whole number, got 1.5"),
    ],
)
def test_value_that_cannot_be_is_told_with_its_query(
    client: httpx.Client, rows: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(SourceError, match=sentence) as caught:
        read(client, body(*rows))
    assert str(caught.value).startswith(f"{API}: ")


def test_answer_that_may_be_partial_is_missing(client: httpx.Client) -> None:
    partial = body(*pod_rows(1, NOW_S)) | {"warnings": ["store edge1 cannot be reached"]}
    with pytest.raises(
        SourceError, match=r"must be answered without warnings, got \['store edge1 cannot be reached'\]"
    ):
        read(client, partial)


def test_target_that_was_not_scraped_is_missing(client: httpx.Client) -> None:
    both = [*pod_rows(1, NOW_S - 15), *pod_rows(1, NOW_S - 15, "b:15090")]
    with pytest.raises(SourceError, match="requests_total must be of every target, got none of b:15090, which was not"):
        read(client, body(*both), body(*pod_rows(9, NOW_S), row("up", 1), row("up", 0, "b:15090")))


def test_pod_that_is_no_target_any_more_is_left_out(client: httpx.Client) -> None:
    both = [*pod_rows(1, NOW_S - 15), *pod_rows(1, NOW_S - 15, "b:15090")]
    sample = read(client, body(*both), body(*pod_rows(9, NOW_S), row("up", 1)))
    assert (sample.gateways, sample.continuous_since_s) == (1, NOW_S)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        "null",
        "[" * 100_000,
        '{"status":"success","data":{"resultType":"matrix","result":[]}}',
        '{"status":"success","data":{"resultType":"vector","result":[{}]}}',
        '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":["x","1"]}]}}',
    ],
)
def test_answer_that_is_no_vector_is_missing(text: str) -> None:
    with pytest.raises(SourceError, match="the answer must be a vector in JSON, got"):
        parse_answer(text, SELECTION)


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -1.0])
def test_time_that_cannot_be_is_refused(time: float) -> None:
    answer = body({"metric": {"spillover": "requests", "instance": "a"}, "value": [time, "1"]})
    with pytest.raises(SourceError, match=f"the answer's time must be finite and at least 0, got {time}"):
        parse_answer(json.dumps(answer), SELECTION)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists), st.text(), st.text())
def test_any_value_gives_rows_or_a_clear_error(value: object, label: str, kind: str) -> None:
    answer = body({"metric": {"spillover": kind, "instance": label}, "value": value})
    with suppress(SpilloverError):
        parse_answer(json.dumps(answer), SELECTION)
