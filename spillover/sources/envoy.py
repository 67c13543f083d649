"""Envoy's own statistics: the requests that arrived at a gateway's client listener, before any split.

``envoy_http_downstream_rq_total{http_conn_manager_prefix="outbound_0.0.0.0_8080"}`` counts what the connection manager
of the client port received. Rates behind the split would fall back to RPM_max as soon as the split works, and the rule
would oscillate; attempts at upstream clusters would count retries.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from spillover.sources.fetch import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUESTS_METRIC = "envoy_http_downstream_rq_total"
PREFIX_LABEL = "http_conn_manager_prefix"
CLIENT_LISTENER = "outbound_0.0.0.0_8080"
"""Name that Istio gives to the connection manager of a gateway's listener on port 8080."""

STATS_PORT = 15090
STATS_PATH = "/stats/prometheus?filter=downstream_rq_total"
"""Envoy leaves out every statistic whose name lacks the filter: a gateway with many clusters answers in kilobytes."""

_LARGEST_COUNT = 2.0**53
"""Above it a double no longer holds every whole number: increments of 1 would be lost, so it cannot be a counter."""


def parse_requests_total(text: str, conn_manager_prefix: str = CLIENT_LISTENER) -> float:
    """Return the requests that the client listener has received since the proxy started.

    Parameters
    ----------
    text
        Body of /stats/prometheus.
    conn_manager_prefix
        Value of the label ``http_conn_manager_prefix``; series of other listeners are not counted.

    Returns
    -------
    float
        The sum over the series that fit, a whole number of 0 or more.

    Raises
    ------
    SourceError
        If no series fits, or one has a value that no counter can have (NaN, infinite, negative, broken text).
    """
    # The parser is pure Python and a gateway may have tens of thousands of lines: hand it only those that can fit.
    lines = [line for line in text.splitlines() if line.startswith(REQUESTS_METRIC)]
    total, found = 0.0, False
    try:
        for family in text_string_to_metric_families("\n".join([*lines, ""])):
            for sample in family.samples:
                if sample.name == REQUESTS_METRIC and _fits(sample.labels, conn_manager_prefix):
                    total += _count(sample.value, conn_manager_prefix)
                    found = True
    except SourceError:
        raise
    except (ValueError, KeyError, IndexError) as error:
        raise SourceError(f"{REQUESTS_METRIC} cannot be read: {' '.join(str(error).split())[:120]}") from None
    if not found:
        raise SourceError(f'{REQUESTS_METRIC}{{{PREFIX_LABEL}="{conn_manager_prefix}"}} is not among the statistics')
    return total


def _fits(labels: Mapping[str, str], conn_manager_prefix: str) -> bool:
    return labels.get(PREFIX_LABEL) == conn_manager_prefix


def _count(value: float, conn_manager_prefix: str) -> float:
    if not math.isfinite(value) or value < 0 or value > _LARGEST_COUNT or value != int(value):
        raise SourceError(
            f'{REQUESTS_METRIC}{{{PREFIX_LABEL}="{conn_manager_prefix}"}} must be a whole number of 0 or more, '
            f"got {value!r}"
        )
    return value
