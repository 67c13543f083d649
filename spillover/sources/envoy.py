"""Envoy's own statistics: the requests that a gateway's client listener received, and those that it waits for at home.

``envoy_http_downstream_rq_total{http_conn_manager_prefix="outbound_0.0.0.0_8080"}`` counts what the connection manager
of the client port received. Rates behind the split would fall back to RPM_max as soon as the split works, and the rule
would oscillate; attempts at upstream clusters would count retries.

``envoy_cluster_upstream_rq_active{cluster_name="outbound|80||app.apps.svc.cluster.local"}`` is how many requests this
gateway has handed to the site's own application and not got back, its guests' among them.

``envoy_http_rbac_policy_class_00_NAME{authz_dry_run_result="allowed"}`` of the client listener is how many requests of
a class arrived; Istio makes a label of the end of its name, which is ``shadow_allowed`` inside the proxy.

``envoy_cluster_membership_healthy`` of the same clusters is how many replicas of the application it sends requests to.

``envoy_cluster_upstream_rq_total`` less ``envoy_cluster_upstream_rq_retry`` of each outbound cluster is how many
requests went there first, and the peers' listener counts the guests among those that went home.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from spillover.classes import counted_class
from spillover.sources.fetch import SourceError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REQUESTS_METRIC = "envoy_http_downstream_rq_total"
PREFIX_LABEL = "http_conn_manager_prefix"
CLIENT_LISTENER = "outbound_0.0.0.0_8080"
"""Name that Istio gives to the connection manager of a gateway's listener on port 8080."""

STATS_PORT = 15090
STATS_PATH = (
    "/stats/prometheus?filter=downstream_rq_total|policy.class_"
    "|outbound.*(upstream_rq_(active|total|retry)|membership_healthy)$"
)
"""Envoy leaves out every statistic whose name lacks the filter: a gateway with many clusters answers in kilobytes."""

ACTIVE_METRIC = "envoy_cluster_upstream_rq_active"
REPLICAS_METRIC = "envoy_cluster_membership_healthy"
_CLASS_METRIC = re.compile(r"^(envoy_http_rbac_policy_(class_[a-z0-9_]+))\{", re.MULTILINE)
ATTEMPTS_METRIC = "envoy_cluster_upstream_rq_total"
RETRIES_METRIC = "envoy_cluster_upstream_rq_retry"

PEER_LISTENER = "outbound_0.0.0.0_8443"
GUESTS = "guests"
"""Among the flows: requests that came in by the peers' door. No full name of a host is like it."""

MOST_FLOWS = 200
"""A gateway with more destinations is not asked where its requests go: the collector's answer has to stay small."""

_LARGEST_COUNT = 2.0**53
"""Above it a double no longer holds every whole number: increments of 1 would be lost, so it cannot be a counter."""


@dataclass(frozen=True, slots=True)
class GatewayStats:
    """What one gateway pod says.

    Parameters
    ----------
    requests_total : float
        Requests that its client listener has received since it started.
    in_flight : float, optional
        Requests that it has handed to the site's own application and not got back; None when it does not say.
    replicas : int, optional
        Replicas of the application that it sends requests to; None when it does not say.
    by_class : mapping of str to float
        Requests of each class that it has received; a class of which none has come yet may be absent.
    flows : mapping of str to float
        See `parse_flows`.
    """

    requests_total: float
    in_flight: float | None = None
    replicas: int | None = None
    by_class: Mapping[str, float] = field(default_factory=dict)
    flows: Mapping[str, float] = field(default_factory=dict)


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
    values = [value for labels, value in _samples(text, REQUESTS_METRIC) if _fits(labels, conn_manager_prefix)]
    if not values:
        raise SourceError(f'{REQUESTS_METRIC}{{{PREFIX_LABEL}="{conn_manager_prefix}"}} is not among the statistics')
    return sum(_count(value, f'{REQUESTS_METRIC}{{{PREFIX_LABEL}="{conn_manager_prefix}"}}') for value in values)


def parse_in_flight(text: str, services: Collection[str]) -> float | None:
    """Return the requests that the gateway has handed to these services and not got back.

    Parameters
    ----------
    text
        Body of /stats/prometheus.
    services
        Full names of the application's Services in its own cluster.

    Returns
    -------
    float or None
        The sum over all of their ports; None when the gateway keeps no such statistic.

    Raises
    ------
    SourceError
        If a value is one that no gauge of requests can have.
    """
    values = _of_services(text, ACTIVE_METRIC, services)
    return sum(values) if values else None


def parse_replicas(text: str, services: Collection[str]) -> int | None:
    """Return how many replicas of the application the gateway sends requests to.

    Parameters
    ----------
    text
        Body of /stats/prometheus.
    services
        Full names of the application's Services in its own cluster: all of them lead to the same replicas.

    Returns
    -------
    int or None
        The most over all of their ports; None when the gateway keeps no such statistic.

    Raises
    ------
    SourceError
        If a value is one that no number of replicas can be.
    """
    values = _of_services(text, REPLICAS_METRIC, services)
    return int(max(values)) if values else None


def parse_by_class(text: str, conn_manager_prefix: str = CLIENT_LISTENER) -> dict[str, float]:
    """Return the requests that the client listener has received, by class; empty when it does not tell classes apart.

    Parameters
    ----------
    text
        Body of /stats/prometheus.
    conn_manager_prefix
        As for `parse_requests_total`.

    Raises
    ------
    SourceError
        If a value is one that no counter can have.
    """
    counted: dict[str, float] = {}
    for metric, counter in sorted(set(_CLASS_METRIC.findall(text))):
        name = counted_class(counter)
        values = [value for labels, value in _samples(text, metric) if _fits(labels, conn_manager_prefix)]
        if name is not None and values:
            counted[name] = counted.get(name, 0.0) + sum(_count(value, metric) for value in values)
    return counted


def parse_flows(text: str) -> dict[str, float]:
    """Return how many requests the gateway sent to each destination first, and how many its guests sent it.

    Parameters
    ----------
    text
        Body of /stats/prometheus.

    Returns
    -------
    dict of str to float
        By ``host`` or ``host/subset`` as a VirtualService names it in full, over all ports, and under `GUESTS`; empty
        when the gateway keeps no such statistics, or has more than `MOST_FLOWS` destinations.

    Raises
    ------
    SourceError
        If a value is one that no counter can have.
    """
    flows: dict[str, float] = {}
    for metric, sign in ((ATTEMPTS_METRIC, 1.0), (RETRIES_METRIC, -1.0)):
        for labels, value in _samples(text, metric):
            kind, _, rest = labels.get("cluster_name", "").rstrip(";").partition("|")
            _, subset, host = rest.split("|") if rest.count("|") == 2 else ("", "", "")
            if kind == "outbound" and host:
                key = f"{host}/{subset}" if subset else host
                flows[key] = flows.get(key, 0.0) + sign * _count(value, f"{metric} of {key}")
    if not 0 < len(flows) <= MOST_FLOWS:
        return {}
    guests = [value for labels, value in _samples(text, REQUESTS_METRIC) if _fits(labels, PEER_LISTENER)]
    # A retry that found no connection is no attempt, so there may be more of them.
    first = {key: max(0.0, value) for key, value in flows.items()}
    return first | {GUESTS: sum(_count(value, f"{REQUESTS_METRIC} of guests") for value in guests)}


def _of_services(text: str, metric: str, services: Collection[str]) -> list[float]:
    """Return a metric's values for the clusters of these services."""
    return [
        _count(value, f'{metric}{{cluster_name="{labels["cluster_name"]}"}}')
        for labels, value in _samples(text, metric)
        if labels.get("cluster_name", "").rstrip(";").rpartition("|")[2] in services
    ]


def _samples(text: str, metric: str) -> list[tuple[Mapping[str, str], float]]:
    """Return labels and value of every series of a metric."""
    # The parser is pure Python and a gateway may have tens of thousands of lines: hand it only those that can fit.
    lines = [line for line in text.splitlines() if line.startswith(metric)]
    try:
        return [
            (sample.labels, sample.value)
            for family in text_string_to_metric_families("\n".join([*lines, ""]))
            for sample in family.samples
            if sample.name == metric
        ]
    except (ValueError, KeyError, IndexError) as error:
        raise SourceError(f"{metric} cannot be read: {' '.join(str(error).split())[:120]}") from None


def _fits(labels: Mapping[str, str], conn_manager_prefix: str) -> bool:
    return labels.get(PREFIX_LABEL) == conn_manager_prefix


def _count(value: float, series: str) -> float:
    if not math.isfinite(value) or value < 0 or value > _LARGEST_COUNT or value != int(value):
        raise SourceError(f"{series} must be a whole number of 0 or more, got {value!r}")
    return value
