"""One bounded HTTP request: an answer within the deadline and the size, or one sentence about why there is none."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import httpx

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_MOST_OF_A_REFUSAL = 2_000
"""Bytes of the body of an answer that is no 200: enough for the reason that an API gives."""


class SourceError(SpilloverError):
    """A sample that is not there or cannot be believed: it counts as missing."""


class RefusedError(SourceError):
    """An answer with another status than 200.

    Parameters
    ----------
    url : str
        What was asked.
    status : int
        What it answered with.
    body : str
        The beginning of its body.
    headers : mapping of str to str
        Its headers; names are compared without case.
    """

    def __init__(self, url: str, status: int, body: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{url} answered with status {status}")
        self.status = status
        self.body = body
        self.headers = httpx.Headers() if headers is None else headers


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked beside the address.

    Parameters
    ----------
    form : mapping of str to str, optional
        Sent as the form of a POST; without it the request is a GET.
    query : mapping of str to str, optional
        Added to the address; left out where an error names it.
    headers : mapping of str to str, optional
        They may hold a secret: no error shows them.
    """

    form: Mapping[str, str] | None = None
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """The body of a 200 answer, and its headers."""

    text: str
    headers: Mapping[str, str]


def http_client(timeout_s: float, ca_file: Path | None = None) -> httpx.Client:
    """Return a client without proxies, redirects, retries or cookies of its own accord.

    Parameters
    ----------
    timeout_s
        Limit in seconds for each connection and for each wait for bytes.
    ca_file
        Certificate authorities to trust in place of those that everybody trusts.

    Raises
    ------
    SpilloverError
        If the file holds none.
    """
    try:
        trusted = _everybody_trusts() if ca_file is None else ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SpilloverError(f"ca_file must hold certificates in PEM, got {str(ca_file)!r}: {error}") from None
    return httpx.Client(timeout=timeout_s, trust_env=False, follow_redirects=False, verify=trusted)


def fetch_text(
    client: httpx.Client,
    url: str,
    *,
    deadline_s: float,
    max_bytes: int,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Return the body of a 200 answer to a GET; parameters and errors as `fetch`."""
    return fetch(client, url, Request(), deadline_s=deadline_s, max_bytes=max_bytes, clock=clock).text


def fetch(
    client: httpx.Client,
    url: str,
    request: Request,
    *,
    deadline_s: float,
    max_bytes: int,
    clock: Callable[[], float] = time.monotonic,
) -> Fetched:
    """Ask once.

    Parameters
    ----------
    client
        From `http_client`.
    url
        What to read.
    request
        What is asked beside.
    deadline_s
        Limit in seconds for the whole answer: a timeout of the client starts again with each byte that drips in.
    max_bytes
        A longer body is refused before it is read to its end.
    clock
        Monotonic seconds.

    Raises
    ------
    RefusedError
        For another status than 200.
    SourceError
        Whatever else goes wrong.
    """
    ends = clock() + deadline_s
    parts: list[bytes] = []
    size = 0
    try:
        with client.stream(
            "GET" if request.form is None else "POST",
            url,
            data=request.form,
            params=request.query,
            headers=request.headers,
            timeout=deadline_s,
        ) as answer:
            ok = answer.status_code == httpx.codes.OK
            for part in answer.iter_bytes():
                size += len(part)
                if ok and size > max_bytes:
                    raise SourceError(f"{url} answered with more than {max_bytes} bytes")
                if clock() > ends:
                    raise SourceError(f"{url} did not finish its answer within {deadline_s:g} s")
                parts.append(part)
                if not ok and size > _MOST_OF_A_REFUSAL:
                    break
    except httpx.TimeoutException:
        raise SourceError(f"{url} did not answer within {deadline_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url} cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from None
    text = b"".join(parts).decode("utf-8", errors="replace")
    if not ok:
        raise RefusedError(url, answer.status_code, text, answer.headers)
    return Fetched(text, answer.headers)


@cache
def _everybody_trusts() -> ssl.SSLContext:
    """Load the authorities once: it takes 20 ms and memory, and each of many sites has a client."""
    return httpx.create_ssl_context(trust_env=False)
