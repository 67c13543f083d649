"""What a site's collector says: GET /demand, judged before it is believed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from spillover.sources.demand import CounterSample
from spillover.sources.fetch import SourceError, fetch_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

DEMAND_PATH = "/demand"
_MAX_BYTES = 65_536
_MAYBE = ("continuous_since_s", "in_flight")
_NUMBERS = ("requests_total", "sampled_at_s", "age_s")


def read_collector(
    client: httpx.Client,
    url: str,
    site: str,
    *,
    deadline_s: float,
    wall_clock: Callable[[], float] = time.time,
) -> CounterSample:
    """Read the collector of a site once.

    Parameters
    ----------
    client
        From `spillover.sources.fetch.http_client`.
    url
        The collector's address without the path.
    site
        Whose collector it must be.
    deadline_s
        Limit in seconds for the whole answer.
    wall_clock
        Unix seconds; used only for an answer that does not say how old its sample is.

    Raises
    ------
    SourceError
        If it does not answer, or with anything but a believable sample of this site.
    """
    address = url.rstrip("/") + DEMAND_PATH
    text = fetch_text(client, address, deadline_s=deadline_s, max_bytes=_MAX_BYTES)
    try:
        return parse_demand(text, site, now_unix_s=wall_clock())
    except SourceError as error:
        raise SourceError(f"{address}: {error}") from None


def parse_demand(text: str, site: str, *, now_unix_s: float) -> CounterSample:
    """Turn the body of /demand into a sample; SourceError names the field and the value that cannot be."""
    try:
        answer: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise SourceError(f"the answer must be JSON, got {text[:60]!r}") from None
    if not isinstance(answer, dict):
        raise SourceError(f"the answer must be an object, got {str(answer)[:60]!r}")
    if answer.get("site") != site:
        raise SourceError(f"site must be {site!r}, got {answer.get('site')!r}")
    if answer.get("age_s") is None:
        answer["age_s"] = max(0.0, now_unix_s - _number(answer, "sampled_at_s"))
    numbers = {name: _number(answer, name) for name in _NUMBERS}
    maybe = {name: _number(answer, name) for name in _MAYBE if answer.get(name) is not None}
    gateways = max(1, int(_number(answer, "gateways"))) if answer.get("gateways") is not None else 1
    replicas = _whole(answer, "replicas") if answer.get("replicas") is not None else None
    return CounterSample(
        **numbers,
        **maybe,
        gateways=gateways,
        replicas=replicas,
        by_class=_counts(answer, "requests_by_class"),
        flows=_counts(answer, "flows"),
    )


def _counts(answer: dict[str, Any], name: str) -> dict[str, float]:
    counts = answer.get(name) or {}
    if not isinstance(counts, dict):
        raise SourceError(f"{name} must be an object, got {str(counts)[:40]!r}")
    return {key: _number(counts, key) for key in counts}


def _number(answer: dict[str, Any], name: str) -> float:
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
        raise SourceError(f"{name} must be a number, got {str(value)[:40]!r}")
    return float(value)


def _whole(answer: dict[str, Any], name: str) -> int:
    value = _number(answer, name)
    if not (value >= 0 and value.is_integer()):
        raise SourceError(f"{name} must be a whole number of 0 or more, got {value:g}")
    return int(value)
