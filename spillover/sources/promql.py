"""Which series of a Prometheus count what enters at a site, and the one query that asks for them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.model import SpilloverError
from spillover.sources.envoy import CLIENT_LISTENER, PREFIX_LABEL, REQUESTS_METRIC

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PRESETS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "envoy": (REQUESTS_METRIC, {PREFIX_LABEL: CLIENT_LISTENER}),
    "istio": (
        "istio_requests_total",
        {
            "reporter": "source",  # a gateway reports as the source of what it sends on
            "source_workload": "istio-ingressgateway",
            "source_workload_namespace": "istio-system",
        },
    ),
}
"""Metric and labels of what enters at a gateway before the split, by preset."""

KIND_LABEL = "spillover"
"""Label by which the rows of the answer are told apart."""

LABEL_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
_STRING = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
_MATCHER = rf"\s*{LABEL_NAME}\s*(?:=~|!~|!=|=)\s*{_STRING}\s*"
_MATCHERS = rf"\{{(?:{_MATCHER}(?:,{_MATCHER})*,?)?\s*\}}"
_SELECTOR = re.compile(rf"\s*(?:[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:{_MATCHERS})?|{_MATCHERS})\s*")


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked of a Prometheus.

    Parameters
    ----------
    selector : str
        Selects the counters of the requests, as `check_selector` allows.
    pod_label : str
        Label that tells one gateway pod from another.
    in_flight_query, replicas_query : str, optional
        PromQL of one value each.
    """

    selector: str
    pod_label: str = "instance"
    in_flight_query: str | None = None
    replicas_query: str | None = None


def preset_selector(preset: str, labels: Mapping[str, str]) -> str:
    """Return the series of a preset; labels are added to its own, or take their place."""
    metric, own = PRESETS[preset]
    matchers = [f"{name}={quoted(value)}" for name, value in {**own, **labels}.items()]
    return f"{metric}{{{','.join(matchers)}}}"


def quoted(value: str) -> str:
    """Return a text as PromQL writes it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def check_selector(query: str) -> None:
    """Refuse a query that is more than a selector.

    An expression hides when each pod was scraped and which of them began again: what comes out of it bears the time of
    the question, and a pod that left takes its whole count out of a sum.

    Raises
    ------
    SpilloverError
        If it is not ``name``, ``name{label="value",...}`` or ``{label="value",...}``.
    """
    if not _SELECTOR.fullmatch(query):
        raise SpilloverError(f"query must select series of a counter, as name{{label=\"value\"}}, got '{query[:80]}'")


def demand_query(selection: Selection, known_pods: Collection[str] = ()) -> str:
    """Return the one query for all that is needed of a site.

    Parameters
    ----------
    selection
        What to ask for.
    known_pods
        Pods of which it has to be known whether they are still targets.

    Returns
    -------
    str
        A query for rows of which `KIND_LABEL` says what they are: by pod ``requests``, ``oldest`` and ``newest`` (times
        of the scrapes that its series stem from) and ``up``; and ``in_flight`` and ``replicas``.
    """
    series, by = selection.selector, f"by ({selection.pod_label})"
    parts = {
        "requests": f"sum {by} ({series})",
        "oldest": f"min {by} (timestamp({series}))",
        "newest": f"max {by} (timestamp({series}))",
    }
    if known_pods:
        pods = quoted("|".join(re.escape(pod) for pod in sorted(known_pods)))
        parts["up"] = f"min {by} (up{{{selection.pod_label}=~{pods}}})"
    if selection.in_flight_query is not None:
        parts["in_flight"] = _own(selection.in_flight_query)
    if selection.replicas_query is not None:
        parts["replicas"] = _own(selection.replicas_query)
    # The label is not there yet, so the empty expression fits it.
    return "\nor ".join(
        f'label_replace({query}, "{KIND_LABEL}", "{kind}", "{KIND_LABEL}", "")' for kind, query in parts.items()
    )


def _own(query: str) -> str:
    # On lines of its own: it may end in a comment.
    return f"(\n{query}\n)"
