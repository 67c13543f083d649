"""One bounded HTTP GET: an answer within the deadline and the size, or one sentence about why there is none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable


class SourceError(SpilloverError):
    """A sample that is not there or cannot be believed: it counts as missing."""


def http_client(timeout_s: float) -> httpx.Client:
    """Return a client without proxies, redirects, retries or cookies of its own accord.

    Parameters
    ----------
    timeout_s
        Limit in seconds for each connection and for each wait for bytes.
    """
    return httpx.Client(timeout=timeout_s, trust_env=False, follow_redirects=False)


def fetch_text(
    client: httpx.Client,
    url: str,
    *,
    deadline_s: float,
    max_bytes: int,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Return the body of a 200 answer.

    Parameters
    ----------
    client
        From `http_client`.
    url
        What to read.
    deadline_s
        Limit in seconds for the whole answer: a timeout of the client starts again with each byte that drips in.
    max_bytes
        A longer body is refused before it is read to its end.
    clock
        Monotonic seconds.

    Raises
    ------
    SourceError
        Whatever goes wrong.
    """
    ends = clock() + deadline_s
    parts: list[bytes] = []
    size = 0
    try:
        with client.stream("GET", url, timeout=deadline_s) as answer:
            if answer.status_code != httpx.codes.OK:
                raise SourceError(f"{url} answered with status {answer.status_code}")
            for part in answer.iter_bytes():
                size += len(part)
                if size > max_bytes:
                    raise SourceError(f"{url} answered with more than {max_bytes} bytes")
                if clock() > ends:
                    raise SourceError(f"{url} did not finish its answer within {deadline_s:g} s")
                parts.append(part)
    except httpx.TimeoutException:
        raise SourceError(f"{url} did not answer within {deadline_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url} cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from None
    return b"".join(parts).decode("utf-8", errors="replace")
