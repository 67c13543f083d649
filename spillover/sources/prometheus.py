"""What a Prometheus says of a site: one instant query over its HTTP API, judged before it is believed.

It hands out samples up to five minutes old as if they were of now; so each pod's scrape time is asked for as well, and
told against the server's own time, which the answer bears: this machine's clock plays no part.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spillover.sources.fetch import RefusedError, Request, SourceError, fetch
from spillover.sources.pods import PodCounter, PodReading
from spillover.sources.promql import KIND_LABEL, Selection, demand_query
from spillover.sources.token import read_token

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import httpx

    from spillover.sources.demand import CounterSample

QUERY_PATH = "/api/v1/query"
_MAX_BYTES = 1_000_000
_LARGEST_COUNT = 2.0**53


@dataclass(frozen=True, slots=True)
class Answered:
    """The rows of an answer.

    Parameters
    ----------
    at_s : float
        The server's time in Unix seconds.
    by_pod : mapping of str to mapping of str to float
        Values by kind, then by pod.
    alone : mapping of str to float
        Values that belong to the whole site, by kind.
    """

    at_s: float
    by_pod: Mapping[str, Mapping[str, float]]
    alone: Mapping[str, float]


class PrometheusReader:
    """Reads the counter of one site; not for several threads at once.

    Parameters
    ----------
    client
        From `spillover.sources.fetch.http_client`.
    url
        The server's address, with the prefix of its API's path if it has one.
    selection
        What to ask for.
    deadline_s
        Limit in seconds for the whole answer; the server is told to give up by then too.
    token_file
        Bearer token; read anew for each question.
    """

    def __init__(
        self,
        client: httpx.Client,
        url: str,
        selection: Selection,
        *,
        deadline_s: float,
        token_file: Path | None = None,
    ) -> None:
        self._client = client
        self._url = url.rstrip("/") + QUERY_PATH
        self._selection = selection
        self._deadline_s = deadline_s
        self._token_file = token_file
        self._counter = PodCounter()

    def __call__(self) -> CounterSample:
        """Read once.

        Raises
        ------
        SourceError
            If it does not answer, or with anything but believable values: one sentence with the query and the value.
        """
        form = {
            "query": demand_query(self._selection, self._counter.pods),
            "timeout": f"{self._deadline_s:g}",
            "partial_response": "false",  # Thanos and its like would leave out what they cannot reach
        }
        headers = {} if self._token_file is None else {"Authorization": f"Bearer {read_token(self._token_file)}"}
        try:
            answer = fetch(
                self._client,
                self._url,
                Request(form=form, headers=headers),
                deadline_s=self._deadline_s,
                max_bytes=_MAX_BYTES,
            )
        except RefusedError as error:
            raise SourceError(f"{error}{_reason(error.body)}") from None
        try:
            answered = parse_answer(answer.text, self._selection)
            readings = pod_readings(answered, self._selection, self._counter.pods)
            sample = self._counter.add(readings, answered.at_s)
            return replace(
                sample, in_flight=answered.alone.get("in_flight"), replicas=_whole(answered.alone.get("replicas"))
            )
        except SourceError as error:
            raise SourceError(f"{self._url}: {error}") from None


def parse_answer(text: str, selection: Selection) -> Answered:
    """Turn the body of an answer into its rows.

    Raises
    ------
    SourceError
        If it is not the answer to `spillover.sources.promql.demand_query`, or a value is not finite or is negative.
    """
    try:
        answer: Any = json.loads(text)
        data, warnings = answer["data"], answer.get("warnings")
        rows = {"vector": data["result"]}[data["resultType"]]
        parsed = [(dict(row["metric"]), float(row["value"][0]), str(row["value"][1])) for row in rows]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise SourceError(f"the answer must be a vector in JSON, got {text[:60]!r}") from None
    if warnings:  # something was left out, and a sum that is too low sends spilled traffic home
        raise SourceError(f"{selection.selector} must be answered without warnings, got {str(warnings)[:120]}")
    if not parsed:
        raise SourceError(f"{selection.selector} must match a series, got none")
    by_pod: dict[str, dict[str, float]] = {}
    alone: dict[str, float] = {}
    for labels, _, value in parsed:
        kind = labels.pop(KIND_LABEL, None)
        if kind in {"in_flight", "replicas"}:
            query = selection.in_flight_query if kind == "in_flight" else selection.replicas_query
            if kind in alone:
                raise SourceError(f"{kind}_query must yield one value, got several of {query}")
            alone[kind] = _number(value, str(query))
        elif kind is not None:
            pod = labels.get(selection.pod_label)
            if not isinstance(pod, str) or not pod:
                raise SourceError(f"{selection.selector} must have the label {selection.pod_label}, got {labels}")
            by_pod.setdefault(kind, {})[pod] = _number(value, f"{kind} of {selection.selector} at {pod}")
    at_s = parsed[0][1]
    if not (math.isfinite(at_s) and at_s >= 0):
        raise SourceError(f"the answer's time must be finite and at least 0, got {at_s}")
    return Answered(at_s, by_pod, alone)


def pod_readings(answered: Answered, selection: Selection, known_pods: frozenset[str]) -> dict[str, PodReading]:
    """Return the counter of every pod.

    Raises
    ------
    SourceError
        If there is none, if one is scraped by several, or if one that is still a target was not scraped: with one
        missing the sum would be too low.
    """
    requests = answered.by_pod.get("requests", {})
    oldest_s, newest_s = answered.by_pod.get("oldest", {}), answered.by_pod.get("newest", {})
    for pod in sorted(known_pods - requests.keys()):
        if answered.by_pod.get("up", {}).get(pod) == 0:
            raise SourceError(f"{selection.selector} must be of every target, got none of {pod}, which was not scraped")
    if not requests:
        raise SourceError(f"{selection.selector} must match a series, got none")
    if not requests.keys() == oldest_s.keys() == newest_s.keys():
        raise SourceError(
            f"{selection.selector} must have a time for each of {sorted(requests)}, got {sorted(oldest_s)}"
        )
    for pod in requests:
        if oldest_s[pod] < newest_s[pod]:
            raise SourceError(
                f"{selection.selector} must be scraped once for each {selection.pod_label}, got series of {pod} "
                f"that lie {newest_s[pod] - oldest_s[pod]:g} s apart"
            )
    return {pod: PodReading(value, oldest_s[pod]) for pod, value in requests.items()}


def _number(value: str, what: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= _LARGEST_COUNT:
        raise SourceError(f"{what} must be a finite number of 0 or more, got {value[:40]}")
    return number


def _whole(value: float | None) -> int | None:
    if value is not None and not value.is_integer():
        raise SourceError(f"replicas_query must yield a whole number, got {value:g}")
    return None if value is None else int(value)


def _reason(body: str) -> str:
    """Return what the server says is wrong with the question."""
    try:
        return f": {' '.join(str(json.loads(body)['error']).split())[:200]}"
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
