"""What the controller is told: one YAML file, checked before anything else happens."""

from __future__ import annotations

import math
from pathlib import Path  # noqa: TC003  pydantic reads the annotation
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from spillover import policies
from spillover.classes import Classes  # noqa: TC001  pydantic reads the annotation
from spillover.controller.leadership import LeaseTimes
from spillover.controller.sources import DynatraceConfig, PrometheusConfig  # noqa: TC001  pydantic reads the annotation
from spillover.controller.tokens import LONGEST_S, SHORTEST_S
from spillover.model import Link, Settings, SpilloverError
from spillover.validation import Strict, parse, read_yaml

_Positive = Annotated[float, Field(gt=0, le=1e9)]
_NotNegative = Annotated[float, Field(ge=0, le=1e9)]
_Name = Annotated[str, Field(min_length=1, max_length=253)]

_LONGEST_INTERVAL_S = 1.0
_OVERFLOW_WINDOW_S = 10.0
_DEADLINE_SHARE = 0.45
"""Reads and then writes get this share of the time until the next: together they end before it."""

SOURCES = ("collector_url", "prometheus", "dynatrace")

_LONGEST_DEADLINE_S = 5.0
"""A long period is no reason to wait long: while it waits, the controller takes no samples."""


class VirtualServiceRef(Strict):
    """The VirtualService of a site whose weights are written.

    Attributes
    ----------
    namespace, name
        Where it is.
    route
        Name of its HTTP route; null means the only one.
    api_version
        What to speak to the API server.
    """

    namespace: _Name
    name: _Name
    route: str | None = None
    api_version: str = "networking.istio.io/v1"


class OverflowRef(Strict):
    """The objects of the fast clock at a site, made by whoever installed it.

    Attributes
    ----------
    application, namespace
        Whose they are; their names follow from it.
    identities
        SPIFFE identity of the gateway of each site that may spill here, by site.
    """

    application: _Name
    namespace: _Name
    identities: dict[_Name, _Name] = Field(default_factory=dict)


class SiteConfig(Strict):
    """One site.

    Attributes
    ----------
    capacity_rpm
        Requests per minute that it serves well (the paper's RPM_max).
    servers, service_ms
        As in `spillover.model.Site`.
    collector_url, prometheus, dynatrace
        Where its demand is read: exactly one of them. A collector's address has no path.
    kubeconfig
        File with the access to its API server; needed where there is a VirtualService.
    virtual_service
        What to write; null for a site that only takes guests.
    destinations
        Key of the destination in this site's VirtualService, by site.
    overflow
        What to write in overflow mode; null for a site whose proxies are left alone.
    """

    capacity_rpm: _Positive
    servers: Annotated[int, Field(ge=1, le=10_000)] = 1
    service_ms: _Positive | None = None
    collector_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$")] | None = None
    prometheus: PrometheusConfig | None = None
    dynatrace: DynatraceConfig | None = None
    kubeconfig: Path | None = None
    virtual_service: VirtualServiceRef | None = None
    destinations: dict[_Name, _Name] = Field(default_factory=dict)
    overflow: OverflowRef | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise SpilloverError(f"one of {', '.join(SOURCES)} must be given, got {' and '.join(given) or 'none'}")
        return self

    @property
    def source(self) -> str:
        """Return the kind of its source, in one word."""
        return next(name for name in SOURCES if getattr(self, name) is not None).removesuffix("_url")

    @property
    def source_interval_s(self) -> float:
        """Return the seconds between two samples that its source has; 0 for one that counts whenever it is asked."""
        slow = self.prometheus or self.dynatrace
        return 0.0 if slow is None else slow.interval_s


class LinkConfig(Strict):
    """A directed link, in the words of the snapshot: from, to, rtt_ms, cost."""

    origin: _Name = Field(alias="from")
    peer: _Name = Field(alias="to")
    rtt_ms: _NotNegative = 0.0
    cost: _NotNegative = 0.0


class LeadershipConfig(Strict):
    """Several controllers of which one leads, by a Lease.

    Attributes
    ----------
    namespace, name
        Of the Lease.
    kubeconfig
        File with the access to the API server that has it; null means the cluster in which the controller is a pod.
    lease_duration_s, renew_deadline_s, retry_period_s
        As in `spillover.controller.leadership.LeaseTimes`.
    """

    namespace: _Name
    name: _Name
    kubeconfig: Path | None = None
    lease_duration_s: Annotated[float, Field(ge=1, le=3600)] = 6.0
    renew_deadline_s: _Positive = 4.0
    retry_period_s: _Positive = 1.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.renew_deadline_s >= self.lease_duration_s:
            raise SpilloverError(
                f"renew_deadline_s must be below lease_duration_s ({self.lease_duration_s:g}), "
                f"got {self.renew_deadline_s:g}"
            )
        if 2 * self.retry_period_s > self.renew_deadline_s:
            raise SpilloverError(
                f"retry_period_s must be at most half of renew_deadline_s ({self.renew_deadline_s:g}), "
                f"got {self.retry_period_s:g}"
            )
        if self.kubeconfig is not None and not self.kubeconfig.is_file():
            raise SpilloverError(f"kubeconfig must be a file, got {str(self.kubeconfig)!r}")
        return self

    @property
    def call_timeout_s(self) -> float:
        """How long one call may take: a lease is read and written twice within the renew deadline."""
        return self.renew_deadline_s / 4

    def times(self) -> LeaseTimes:
        """Return the times as the rules know them."""
        return LeaseTimes(self.lease_duration_s, self.renew_deadline_s, self.retry_period_s)


class PolicySettings(Strict):
    """What the policy is told beside the snapshot, as in `spillover.model.Settings`."""

    max_utilisation: Annotated[float, Field(gt=0, le=1)] = 0.95
    cost_weight_ms: _NotNegative = 0.0
    on_missing: Literal["hold", "static"] = "hold"


class ControllerConfig(Strict):
    """Everything that the controller is told.

    Attributes
    ----------
    policy
        Name of the policy.
    mode
        How to act on the mesh; ``weights`` writes VirtualService weights, ``overflow`` the numbers of proxies that
        spill by themselves.
    window_s
        Demand is averaged over this many seconds: by default 1, and 10 in overflow mode, where the proxies react by
        themselves and each write of a rate fills a bucket.
    period_s
        Seconds from one decision to the next.
    total
        What the weights of a VirtualService sum to.
    leadership
        How one of several controllers is chosen; null for a controller that is alone.
    classes
        Classes of requests, the most important first: the least important is shed first.
    working_token_s
        Seconds for which the tokens are good that it trades the stored ones for, and renews; null to use the stored.
    sites, links, settings
        See there.
    """

    policy: str = "cooperative"
    mode: Literal["weights", "overflow"] = "weights"
    window_s: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    period_s: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    total: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    settings: PolicySettings = PolicySettings()
    leadership: LeadershipConfig | None = None
    classes: Classes = ()
    working_token_s: Annotated[int, Field(ge=SHORTEST_S, le=LONGEST_S)] | None = None
    sites: Annotated[dict[_Name, SiteConfig], Field(min_length=1)]
    links: tuple[LinkConfig, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _window_of_the_mode(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("mode") == "overflow" and raw.get("window_s") is None:
            return raw | {"window_s": _OVERFLOW_WINDOW_S}
        return raw

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        policies.get(self.policy)
        for name, site in self.sites.items():
            self._check_site(name, site)
            if site.overflow is not None:
                self._check_overflow(name, site.overflow, site.kubeconfig)
        pairs = [(link.origin, link.peer) for link in self.links]
        for origin, peer in pairs:
            for end, name in (("from", origin), ("to", peer)):
                if name not in self.sites:
                    raise SpilloverError(f"links.{origin}->{peer}.{end} must name a known site, got {name!r}")
            if origin == peer or pairs.count((origin, peer)) > 1:
                raise SpilloverError(f"links must join each two different sites once, got {origin!r} to {peer!r}")
            site = self.sites[origin]
            if site.virtual_service is not None and peer not in site.destinations:
                raise SpilloverError(
                    f"sites.{origin}.destinations must name the linked site {peer!r}, got {sorted(site.destinations)}"
                )
        return self

    def _check_site(self, name: str, site: SiteConfig) -> None:
        if site.virtual_service is None:
            return
        if site.kubeconfig is None:
            raise SpilloverError(f"sites.{name}.kubeconfig must be given where there is a virtual_service, got none")
        if not site.kubeconfig.is_file():
            raise SpilloverError(f"sites.{name}.kubeconfig must be a file, got {str(site.kubeconfig)!r}")
        if name not in site.destinations:
            raise SpilloverError(
                f"sites.{name}.destinations must name {name!r} itself, got {sorted(site.destinations)}"
            )
        for destination in site.destinations:
            if destination not in self.sites:
                raise SpilloverError(f"sites.{name}.destinations must name known sites, got {destination!r}")
        if len(set(site.destinations.values())) < len(site.destinations):
            raise SpilloverError(f"sites.{name}.destinations must be different keys, got {site.destinations}")

    def _check_overflow(self, name: str, overflow: OverflowRef, kubeconfig: Path | None) -> None:
        for origin in overflow.identities:
            if origin not in self.sites:
                raise SpilloverError(f"sites.{name}.overflow.identities must name known sites, got {origin!r}")
        if kubeconfig is None or not kubeconfig.is_file():
            raise SpilloverError(f"sites.{name}.kubeconfig must be a file where there is overflow, got {kubeconfig}")

    @property
    def interval_s(self) -> float:
        """Seconds between two samples: at most 1 s and the window, and a whole part of the period."""
        longest_s = min(_LONGEST_INTERVAL_S, self.window_s, self.period_s)
        return self.period_s / math.ceil(self.period_s / longest_s - 1e-9)

    def site_interval_s(self, name: str) -> float:
        """Return the seconds between two samples of a site: at least those of its source."""
        return max(self.interval_s, self.sites[name].source_interval_s)

    def site_window_s(self, name: str) -> float:
        """Return the seconds that a site's demand is averaged over: at least from one sample to the next."""
        return max(self.window_s, self.site_interval_s(name))

    @property
    def read_deadline_s(self) -> float:
        """How long a sample waits for the slowest source."""
        return min(_LONGEST_DEADLINE_S, _DEADLINE_SHARE * self.interval_s)

    @property
    def write_deadline_s(self) -> float:
        """How long a decision waits for the slowest API server."""
        return min(_LONGEST_DEADLINE_S, _DEADLINE_SHARE * self.period_s)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, the most important first."""
        return tuple(one.name for one in self.classes)

    def model_links(self) -> tuple[Link, ...]:
        """Return the links as the policies know them."""
        return tuple(Link(link.origin, link.peer, link.rtt_ms, link.cost) for link in self.links)

    def model_settings(self) -> Settings:
        """Return the settings as the policies know them."""
        return Settings(period_s=self.period_s, classes=self.class_names, **self.settings.model_dump())


def load_config(path: Path) -> ControllerConfig:
    """Read and check the file.

    Raises
    ------
    SpilloverError
        If it cannot be read, or a value in it is wrong: one sentence that names the field and the value.
    """
    return parse_config(read_yaml(path), source=str(path))


def parse_config(raw: object, *, source: str = "config") -> ControllerConfig:
    """Check decoded YAML; SpilloverError as `load_config`."""
    return parse(ControllerConfig, raw, source=source)
