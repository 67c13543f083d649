from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import pytest
import respx
from werkzeug import Response

from spillover.model import SpilloverError
from spillover.sources.fetch import RefusedError, Request, SourceError, fetch, fetch_text, http_client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_httpserver import HTTPServer

URL = "http://site.internal/x"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with http_client(0.3) as opened:
        yield opened


def body_of(client: httpx.Client, url: str = URL, *, max_bytes: int = 100) -> str:
    return fetch_text(client, url, deadline_s=0.3, max_bytes=max_bytes)


def test_body_is_returned(client: httpx.Client, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/x").respond_with_data("hello")
    assert body_of(client, httpserver.url_for("/x")) == "hello"


@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_other_status_is_an_error(client: httpx.Client, status: int) -> None:
    with respx.mock:
        respx.get(URL).respond(status, headers={"location": "http://elsewhere.internal/"})
        with pytest.raises(SourceError, match=f"answered with status {status}"):
            body_of(client)


def test_body_above_the_limit_is_an_error(client: httpx.Client) -> None:
    with respx.mock:
        respx.get(URL).respond(text="y" * 101)
        with pytest.raises(SourceError, match="more than 100 bytes"):
            body_of(client)


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.RemoteProtocolError("cut")])
def test_broken_connection_is_an_error(client: httpx.Client, error: Exception) -> None:
    with respx.mock:
        respx.get(URL).mock(side_effect=error)
        with pytest.raises(SourceError, match=f"cannot be read: {error}"):
            body_of(client)


def test_silent_server_costs_the_deadline(client: httpx.Client, httpserver: HTTPServer) -> None:
    def slow(_: object) -> Response:
        time.sleep(1.0)
        return Response("late")

    httpserver.expect_request("/x").respond_with_handler(slow)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"did not answer within 0.3 s"):
        body_of(client, httpserver.url_for("/x"))
    assert time.monotonic() - began < 0.9


def test_dripping_server_costs_little_more_than_the_deadline(client: httpx.Client, httpserver: HTTPServer) -> None:
    def drip(_: object) -> Response:
        def parts() -> Iterator[bytes]:
            for _ in range(60):
                time.sleep(0.05)
                yield b"z"

        return Response(parts())

    httpserver.expect_request("/x").respond_with_handler(drip)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"did not (answer|finish its answer) within 0\.3 s"):
        body_of(client, httpserver.url_for("/x"))
    assert time.monotonic() - began < 1.0


def test_text_that_is_no_utf8_is_still_text(client: httpx.Client) -> None:
    with respx.mock:
        respx.get(URL).respond(content=b"\xff\xfe")
        assert body_of(client) == "\ufffd\ufffd"


def test_refusal_brings_the_beginning_of_its_reason(client: httpx.Client) -> None:
    with respx.mock:
        respx.get(URL).respond(429, text="slower", headers={"Retry-After": "7"})
        with pytest.raises(RefusedError, match="answered with status 429") as caught:
            fetch_text(client, URL, deadline_s=0.3, max_bytes=3)
    assert (caught.value.status, caught.value.body, caught.value.headers["retry-after"]) == (429, "slower", "7")


def test_form_is_posted_and_a_query_is_no_part_of_the_errors(client: httpx.Client) -> None:
    with respx.mock:
        posted = respx.post(URL).respond(text="ok", headers={"Date": "now"})
        answer = fetch(client, URL, Request(form={"a": "b c"}), deadline_s=0.3, max_bytes=100)
        assert (answer.text, answer.headers["date"]) == ("ok", "now")
        assert posted.calls.last.request.content == b"a=b+c"
        respx.get(URL, params={"q": "long"}).respond(500)
        with pytest.raises(SourceError, match=rf"^{URL} answered with status 500$"):
            fetch(client, URL, Request(query={"q": "long"}), deadline_s=0.3, max_bytes=100)


def test_file_without_certificates_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    for content in (None, "no certificate"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(SpilloverError, match=r"ca_file must hold certificates in PEM, got '.*/ca.pem': "):
            http_client(1.0, path)


def test_what_everybody_trusts_is_loaded_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    http_client(1.0).close()

    def loaded_again(**_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("httpx.create_ssl_context", loaded_again)
    for _ in range(3):
        http_client(1.0).close()
