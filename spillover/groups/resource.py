"""A SpilloverGroup as the API server hands it out, as checked values. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from spillover.classes import Classes  # noqa: TC001  pydantic reads the annotation
from spillover.model import SpilloverError
from spillover.validation import Strict, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "spillover.dev"
API_VERSION = f"{GROUP}/v1alpha1"
KIND = "SpilloverGroup"
PLURAL = "spillovergroups"

_Name = Annotated[str, Field(min_length=1, max_length=253)]


class _Part(Strict):
    """A part of the spec; its fields are written as Kubernetes writes them."""

    model_config = ConfigDict(alias_generator=to_camel)


class DemandSpec(_Part):
    """Where a site's demand is read: exactly one of both.

    Attributes
    ----------
    collector_url
        Address of its collector.
    source
        Name of a file in the daemon's directory of sources.
    """

    collector_url: str | None = None
    source: _Name | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.collector_url is None) == (self.source is None):
            raise SpilloverError("demand must have one of collectorUrl and source")
        return self


class AccessSpec(_Part):
    """How a site's API server is reached.

    Attributes
    ----------
    kubeconfig
        Name of a file in the daemon's directory.
    """

    kubeconfig: _Name


class ServiceSpec(_Part):
    """The application at a site.

    Attributes
    ----------
    namespace, name
        Of its VirtualService; in overflow mode the names of all its objects follow from them.
    route
        Name of the HTTP route; null means the only one.
    destination
        Key of the site itself in its VirtualService, for weights mode.
    """

    namespace: _Name
    name: _Name
    route: str | None = None
    destination: _Name | None = None


class SiteSpec(_Part):
    """One site; numbers as in `spillover.controller.config.SiteConfig`.

    Attributes
    ----------
    access, service
        Null for a site that only takes guests.
    identity
        SPIFFE identity of its gateway, for overflow mode.
    """

    name: _Name
    capacity_rpm: float
    servers: int = 1
    service_ms: float | None = None
    demand: DemandSpec
    access: AccessSpec | None = None
    service: ServiceSpec | None = None
    identity: _Name | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.access is None) != (self.service is None):
            raise SpilloverError(f"site {self.name} must have both access and service, or neither")
        return self


class LinkSpec(_Part):
    """A directed link.

    Attributes
    ----------
    destination
        Key of the peer in the origin's VirtualService, for weights mode.
    """

    origin: _Name = Field(alias="from")
    peer: _Name = Field(alias="to")
    rtt_ms: float = 0.0
    cost: float = 0.0
    destination: _Name | None = None


class LimitsSpec(_Part):
    """How far sites may be filled."""

    max_utilisation: float = 0.95


class GroupSpec(_Part):
    """What a platform engineer asks for; numbers as in `spillover.controller.config.ControllerConfig`."""

    policy: str = "cooperative"
    mode: Literal["overflow", "weights"] = "overflow"
    paused: bool = False
    period_seconds: float = 1.0
    window_seconds: float | None = None
    total_weight: int = 100
    limits: LimitsSpec = LimitsSpec()
    cost_weight_ms: float = 0.0
    on_missing: Literal["hold", "static"] = "hold"
    classes: Classes = ()
    sites: Annotated[tuple[SiteSpec, ...], Field(min_length=1)]
    links: tuple[LinkSpec, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [site.name for site in self.sites]
        for name in names:
            if names.count(name) > 1:
                raise SpilloverError(f"sites must name each site once, got {name!r} twice")
        return self


def parse_spec(raw: object) -> GroupSpec:
    """Check a spec as the API server stores it.

    Raises
    ------
    SpilloverError
        One sentence that names the field and the value.
    """
    return parse(GroupSpec, raw, source="spec")


@dataclass(frozen=True, slots=True)
class Group:
    """One resource as it is stored; its spec is not checked yet.

    Parameters
    ----------
    namespace, name, uid : str
        Which one. Another resource of the same name later has another uid.
    generation : int
        Grows with each change of the spec.
    created : str
        When, as RFC 3339 in UTC: an earlier one sorts first.
    spec, status : mapping
        Decoded JSON.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Group:
        """Read the object that the API server returns."""
        metadata = stored["metadata"]
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            created=metadata.get("creationTimestamp") or "",
            spec=stored.get("spec") or {},
            status=stored.get("status") or {},
        )

    def __str__(self) -> str:
        """Return it as in a sentence."""
        return f"{self.namespace}/{self.name}"

    @property
    def age_order(self) -> tuple[str, str, str]:
        """Sort by it: the older one first, and no two alike."""
        return (self.created, self.namespace, self.name)

    @property
    def paused(self) -> bool:
        """Whether nothing may be written, also where the rest of the spec is not accepted."""
        return self.spec.get("paused") is True
