from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from spillover.model import SpilloverError
from spillover.sources.collector import parse_demand, read_collector
from spillover.sources.fetch import SourceError, http_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

URL = "http://collector.edge1.internal:8444"
GOOD: dict[str, Any] = {
    "site": "edge1",
    "requests_total": 120.0,
    "sampled_at_s": 1.79e9,
    "gateways": 1,
    "age_s": 0.25,
    "continuous_since_s": 1.7e9,
}


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with http_client(1.0) as opened:
        yield opened


def test_answer_becomes_a_sample(client: httpx.Client) -> None:
    with respx.mock:
        respx.get(f"{URL}/demand").respond(json=GOOD)
        sample = read_collector(client, URL + "/", "edge1", deadline_s=1.0)
    assert (sample.requests_total, sample.sampled_at_s, sample.age_s) == (120.0, 1.79e9, 0.25)
    assert sample.continuous_since_s == 1.7e9


def test_sample_without_an_age_is_as_old_as_its_time_says() -> None:
    answer = {key: GOOD[key] for key in ("site", "requests_total", "sampled_at_s", "gateways")}
    assert parse_demand(json.dumps(answer), "edge1", now_unix_s=1.79e9 + 7).age_s == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"site": "edge2"}, "site must be 'edge1', got 'edge2'"),
        ({"requests_total": float("nan")}, "requests_total must be a finite number of 0 or more, got nan"),
        ({"requests_total": float("inf")}, "requests_total must be a number, got 'inf'"),
        ({"requests_total": -3}, "requests_total must be a finite number of 0 or more, got -3.0"),
        ({"requests_total": "many"}, "requests_total must be a number, got 'many'"),
        ({"requests_total": True}, "requests_total must be a number, got 'True'"),
        ({"requests_total": None}, "requests_total must be a number, got 'None'"),
        ({"requests_total": 10**400}, "requests_total must be a number, got '1000"),
        ({"sampled_at_s": None}, "sampled_at_s must be a number, got 'None'"),
        ({"continuous_since_s": []}, r"continuous_since_s must be a number, got '\[\]'"),
        ({"replicas": 1.5}, "replicas must be a whole number of 0 or more, got 1.5"),
        ({"flows": [1]}, r"flows must be an object, got '\[1\]'"),
        ({"flows": {"cloud": "many"}}, "cloud must be a number, got 'many'"),
        ({"flows": {"cloud": -1}}, r"flows\.cloud must be a finite number of 0 or more, got -1\.0"),
        ({"replicas": -1}, "replicas must be a whole number of 0 or more, got -1"),
        ({"replicas": float("nan")}, "replicas must be a whole number of 0 or more, got nan"),
    ],
)
def test_value_that_cannot_be_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        parse_demand(json.dumps(GOOD | change), "edge1", now_unix_s=0.0)


@pytest.mark.parametrize("text", ["", "garbage", "[]", "3", "null", "[" * 100_000])
def test_answer_that_is_no_object_is_missing(text: str) -> None:
    with pytest.raises(SourceError, match="the answer must be"):
        parse_demand(text, "edge1", now_unix_s=0.0)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_any_value_gives_a_sample_or_a_clear_error(value: object) -> None:
    for name in ("requests_total", "sampled_at_s", "age_s"):
        with suppress(SpilloverError):
            parse_demand(json.dumps(GOOD | {name: value}), "edge1", now_unix_s=0.0)


def test_error_names_the_address(client: httpx.Client) -> None:
    with respx.mock:
        respx.get(f"{URL}/demand").respond(json={"site": "edge1"})
        with pytest.raises(SourceError, match=f"{URL}/demand: "):
            read_collector(client, URL, "edge1", deadline_s=1.0)


def test_requests_by_class_become_the_samples() -> None:
    answer = GOOD | {"requests_by_class": {"gold": 20, "rest": 100}}
    assert parse_demand(json.dumps(answer), "edge1", now_unix_s=0).by_class == {"gold": 20, "rest": 100}
    assert parse_demand(json.dumps(GOOD), "edge1", now_unix_s=0).by_class == {}


@pytest.mark.parametrize(
    ("counted", "sentence"),
    [
        (["gold"], r"requests_by_class must be an object, got \"\['gold'\]\""),
        ({"gold": "many"}, "gold must be a number, got 'many'"),
        ({"gold": -1}, "by_class.gold must be a finite number of 0 or more, got -1"),
    ],
)
def test_requests_by_class_that_cannot_be_are_named(counted: object, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        parse_demand(json.dumps(GOOD | {"requests_by_class": counted}), "edge1", now_unix_s=0)


def test_where_requests_went_is_read_and_a_collector_that_does_not_say_has_said_nothing() -> None:
    text = json.dumps(GOOD | {"flows": {"cloud.peers.internal": 7}})
    assert parse_demand(text, "edge1", now_unix_s=1.79e9).flows == {"cloud.peers.internal": 7.0}
    assert parse_demand(json.dumps(GOOD), "edge1", now_unix_s=1.79e9).flows == {}
