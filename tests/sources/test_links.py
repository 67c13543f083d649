from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import pytest
import respx
from werkzeug import Response

from spillover.model import Link, SpilloverError
from spillover.sources.fetch import SourceError, http_client
from spillover.sources.links import MOST_SAMPLES, MeasuredLink, measure_link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_httpserver import HTTPServer

URL = "http://collector.edge1.internal"
LINK = Link("edge1", "edge2", 10.0)


class Road:
    """A clock that requests move: each takes the next of its site's times."""

    def __init__(self, home_ms: list[float], peer_ms: list[float]) -> None:
        self.now_s = 0.0
        self.left_ms = {"edge1": list(home_ms), "edge2": list(peer_ms)}
        self.asked: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        site = request.url.path.removeprefix("/links/")
        self.asked.append(site)
        self.now_s += self.left_ms[site].pop(0) / 1000.0
        return httpx.Response(200, text="ok")

    def pause(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with http_client(1.0) as opened:
        yield opened


def measured(client: httpx.Client, road: Road, samples: int, url: str = URL) -> MeasuredLink:
    with respx.mock:
        respx.get(url__startswith=URL).mock(side_effect=road.answer)
        return measure_link(
            client, url, LINK, samples=samples, deadline_s=1.0, clock=lambda: road.now_s, sleep=road.pause
        )


def test_link_is_the_median_of_the_differences_of_pairs(client: httpx.Client) -> None:
    road = Road(home_ms=[500, 5, 50, 7], peer_ms=[900, 15, 62, 40])
    found = measured(client, road, 3)
    assert (found.measured_rtt_ms, found.p95_rtt_ms, found.samples) == (12.0, 33.0, 3)


def test_first_pair_opens_the_connections_and_is_not_counted(client: httpx.Client) -> None:
    road = Road(home_ms=[0, 1], peer_ms=[10_000, 4])
    assert measured(client, road, 1).p95_rtt_ms == 3.0


def test_home_and_peer_take_turns(client: httpx.Client) -> None:
    road = Road(home_ms=[1] * 3, peer_ms=[2] * 3)
    measured(client, road, 2)
    assert road.asked == ["edge1", "edge2"] * 3


def test_slash_at_the_end_of_the_address_does_not_matter(client: httpx.Client) -> None:
    assert measured(client, Road([1, 1], [2, 2]), 1, URL + "/").measured_rtt_ms == 1.0


def test_object_has_the_words_of_links_json(client: httpx.Client) -> None:
    assert measured(client, Road([1, 1], [13, 13]), 1).to_dict() == {
        "from": "edge1",
        "to": "edge2",
        "rtt_ms": 10.0,
        "measured_rtt_ms": 12.0,
        "p95_rtt_ms": 12.0,
        "samples": 1,
    }


def test_missing_answer_is_an_error_that_names_the_way(client: httpx.Client) -> None:
    with respx.mock:
        respx.get(f"{URL}/links/edge1").respond(200)
        respx.get(f"{URL}/links/edge2").respond(503)
        with pytest.raises(SourceError, match="/links/edge2 answered with status 503"):
            measure_link(client, URL, LINK, samples=1, deadline_s=1.0)


@pytest.mark.parametrize("samples", [0, -1, MOST_SAMPLES + 1])
def test_number_of_samples_has_bounds(client: httpx.Client, samples: int) -> None:
    with pytest.raises(SpilloverError, match=f"samples must be from 1 to {MOST_SAMPLES}, got {samples}"):
        measure_link(client, URL, LINK, samples=samples, deadline_s=1.0)


def test_real_server_that_waits_is_seen_to_wait(client: httpx.Client, httpserver: HTTPServer) -> None:
    def waiting(_: object) -> Response:
        time.sleep(0.03)
        return Response("ok")

    httpserver.expect_request("/links/edge1").respond_with_data("ok")
    httpserver.expect_request("/links/edge2").respond_with_handler(waiting)
    found = measure_link(client, httpserver.url_for("").rstrip("/"), LINK, samples=5, deadline_s=1.0)
    assert found.measured_rtt_ms > 25.0
