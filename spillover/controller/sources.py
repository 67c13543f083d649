"""Where the controller gets a site's demand from: the settings of each kind of source, and what reads it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  pydantic reads the annotation
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from spillover.model import SpilloverError
from spillover.sources.dynatrace import SLOT_S, DynatraceReader, SlotQuery
from spillover.sources.fetch import http_client
from spillover.sources.prometheus import PrometheusReader
from spillover.sources.promql import LABEL_NAME, Selection, check_selector, preset_selector
from spillover.validation import Strict

if TYPE_CHECKING:
    from collections.abc import Callable

    from spillover.sources.demand import CounterSample

_LabelName = Annotated[str, Field(pattern=f"^{LABEL_NAME}$")]
_Query = Annotated[str, Field(min_length=1, max_length=4_000)]

Url = Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$")]
"""Address of an API; a path before the API's own may belong to it, but no password: errors show addresses."""


class PrometheusConfig(Strict):
    """A Prometheus that scrapes the site's gateways, or whatever speaks its HTTP API.

    Attributes
    ----------
    url
        Its address, with the prefix of its API's path if it has one.
    preset
        Whose series to read: ``envoy`` (the client listener's own counter) or ``istio`` (the standard metrics).
    labels
        Added to the labels of the preset, or in place of them.
    query
        In place of a preset: selects the series of a counter that grows with each request that enters.
    pod_label
        Label that tells one gateway pod from another.
    interval_s
        Seconds from one scrape of the gateways to the next.
    in_flight_query, replicas_query
        PromQL of one value: the requests at the site's application, and the application's replicas.
    token_file
        File with a bearer token.
    ca_file
        Certificate authorities of the server, in PEM.
    """

    url: Url
    preset: Literal["envoy", "istio"] | None = None
    labels: dict[_LabelName, str] = Field(default_factory=dict)
    query: _Query | None = None
    pod_label: _LabelName = "instance"
    interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 15.0
    in_flight_query: _Query | None = None
    replicas_query: _Query | None = None
    token_file: Path | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.preset is None) == (self.query is None):
            raise SpilloverError(f"one of preset and query must be given, got {self.preset!r} and {self.query!r}")
        if self.query is not None:
            check_selector(self.query)
            if self.labels:
                raise SpilloverError(f"labels must be given with a preset only, got {self.labels}")
        check_files(token_file=self.token_file, ca_file=self.ca_file)
        return self

    @property
    def selection(self) -> Selection:
        """Return what to ask for."""
        selector = self.query or preset_selector(str(self.preset), self.labels)
        return Selection(selector, self.pod_label, self.in_flight_query, self.replicas_query)


class DynatraceConfig(Strict):
    """A Dynatrace environment whose Metrics API v2 counts the site's requests in slots of a minute.

    Attributes
    ----------
    url
        Address of the environment, without the API's path.
    token_file
        File with an API token that has the scope ``metrics.read``.
    metric_selector
        Yields one series: the requests in each slot, not a rate.
    entity_selector
        Of which entities; null for all that the metric has.
    settle_s
        Seconds after its end for which a slot is left alone: parts of its count may still be on their way.
    poll_s
        Seconds from one question to the next.
    ca_file
        Certificate authorities of the server, in PEM.
    """

    url: Url
    token_file: Path
    metric_selector: _Query
    entity_selector: _Query | None = None
    settle_s: Annotated[float, Field(ge=0, le=60)] = 30.0
    poll_s: Annotated[float, Field(ge=5, le=30)] = 15.0
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _files_are_there(self) -> Self:
        check_files(token_file=self.token_file, ca_file=self.ca_file)
        return self

    @property
    def interval_s(self) -> float:
        """Return the seconds between two samples."""
        return SLOT_S


def check_files(**files: Path | None) -> None:
    """Refuse a path at which there is no file; SpilloverError names the field."""
    for name, path in files.items():
        if path is not None and not path.is_file():
            raise SpilloverError(f"{name} must be a file, got {str(path)!r}")


def prometheus_reader(config: PrometheusConfig, deadline_s: float) -> Callable[[], CounterSample]:
    """Return what reads a site's Prometheus; SpilloverError if its certificates cannot be used."""
    return PrometheusReader(
        http_client(deadline_s, config.ca_file),
        config.url,
        config.selection,
        deadline_s=deadline_s,
        token_file=config.token_file,
    )


def dynatrace_reader(config: DynatraceConfig, deadline_s: float) -> Callable[[], CounterSample]:
    """Return what reads a site's Dynatrace; SpilloverError if its certificates cannot be used."""
    return DynatraceReader(
        http_client(deadline_s, config.ca_file),
        config.url,
        SlotQuery(config.metric_selector, config.entity_selector, config.settle_s),
        config.token_file,
        poll_s=config.poll_s,
    )
