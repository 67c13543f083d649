"""The words of Spillover as frozen values: sites, links, a snapshot of them, and a decision about them.

No input and output, no clock, no numpy: everything else imports this module, and it imports nothing of ours.
Rates are per second (``_rps``), times are in milliseconds (``_ms``) or seconds (``_s``).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

SMALLEST = 1e-9
LARGEST = 1e12
"""Rates and times outside [SMALLEST, LARGEST] are refused: beyond them double precision cannot hold a sum of sites."""

MOST_SERVERS = 10_000
GRANT_BURST = 50
"""Tokens that a bucket of guests holds: a grant bounds a peer's load in the mean, the in-flight limit at each moment.

A shallow bucket refuses whole crowds that the peer has room for: with 2 tokens the mean latency of the standard
scenario at 30 rps lies twice as far above the best dispatcher's.
"""

MISSING_PERIODS = 3
"""A sample older than this many control periods counts as missing."""

ON_MISSING = ("hold", "static")


class SpilloverError(ValueError):
    """The one error of the package: bad input, in one sentence that names the field and the value."""


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster that serves the application, as it was seen at the last sample.

    Parameters
    ----------
    name : str
        The site's name, unique in its snapshot.
    capacity_rps : float
        Requests per second that the site serves well.
    demand_rps : float or mapping of str to float
        Requests per second that arrive at this origin before any split, in total or by priority class.
    servers : int
        Requests that the site serves at the same time.
    service_ms : float, optional
        Mean time to serve one request alone; ``None`` means ``1000 * servers / capacity_rps``.
    queue : float
        Requests that wait, without those in service.
    healthy : bool
        False when the application is dead there; its demand still arrives.
    age_s : float
        Age of the sample.
    capacity_margin : float
        Share of the capacity that is not counted on, because the estimate may be wrong by it; in [0, 1).

    Raises
    ------
    SpilloverError
        If a value is outside its range.
    """

    name: str
    capacity_rps: float
    demand_rps: float | Mapping[str, float] = 0.0
    servers: int = 1
    service_ms: float | None = None
    queue: float = 0.0
    healthy: bool = True
    age_s: float = 0.0
    capacity_margin: float = 0.0

    def __post_init__(self) -> None:
        where = f"sites.{self.name}"
        _name("a site's name", self.name)
        _positive(f"{where}.capacity_rps", self.capacity_rps)
        _whole_positive(f"{where}.servers", self.servers)
        if self.service_ms is not None:
            _positive(f"{where}.service_ms", self.service_ms)
        _positive(f"{where}.service_ms (1000*servers/capacity_rps)", self.mean_service_ms)
        if isinstance(self.demand_rps, Mapping):
            for name, value in self.demand_rps.items():
                _not_negative(f"{where}.demand_rps.{name}", value)
        else:
            _not_negative(f"{where}.demand_rps", self.demand_rps)
        _not_negative(f"{where}.queue", self.queue)
        _boolean(f"{where}.healthy", self.healthy)
        _not_negative(f"{where}.age_s", self.age_s)
        _not_negative(f"{where}.capacity_margin", self.capacity_margin)
        if self.capacity_margin >= 1:
            raise SpilloverError(f"{where}.capacity_margin must be below 1, got {_show(self.capacity_margin)}")

    @property
    def demand_total_rps(self) -> float:
        """Demand of all classes together, in requests per second."""
        if isinstance(self.demand_rps, Mapping):
            return math.fsum(self.demand_rps.values())
        return self.demand_rps

    @property
    def mean_service_ms(self) -> float:
        """Mean service time of one request alone, in milliseconds, with the default filled in."""
        if self.service_ms is None:
            return 1000.0 * self.servers / self.capacity_rps
        return self.service_ms

    @property
    def server_rps(self) -> float:
        """Rate mu of one busy server, in requests per second."""
        return 1000.0 / self.mean_service_ms

    @property
    def saturation_rps(self) -> float:
        """Rate ``servers * mu`` at which the queue no longer has a mean."""
        return self.servers * self.server_rps

    def usable_rps(self, max_utilisation: float) -> float:
        """Load that a policy may put here: ``max_utilisation * min(capacity, servers * mu)``, 0 if unhealthy.

        A ``capacity_margin`` is taken off the capacity first.
        """
        sure = self.capacity_rps * (1.0 - self.capacity_margin)
        return max_utilisation * min(sure, self.saturation_rps) if self.healthy else 0.0


@dataclass(frozen=True, slots=True)
class Link:
    """A directed pair of sites over which the origin may spill to the peer.

    Parameters
    ----------
    origin, peer : str
        Names of two different sites.
    rtt_ms : float
        Extra round-trip time of a spilled request.
    cost : float
        Egress price of a spilled request; ``Settings.cost_weight_ms`` turns it into milliseconds.

    Raises
    ------
    SpilloverError
        If the link leads to its own origin, or a number is outside its range.
    """

    origin: str
    peer: str
    rtt_ms: float = 0.0
    cost: float = 0.0

    def __post_init__(self) -> None:
        if self.origin == self.peer:
            raise SpilloverError(f"a link must join two sites, got one from {self.origin!r} to itself")
        where = f"links.{self.origin}->{self.peer}"
        _not_negative(f"{where}.rtt_ms", self.rtt_ms)
        _not_negative(f"{where}.cost", self.cost)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chooses.

    Parameters
    ----------
    max_utilisation : float
        Share of a site's capacity that ``cooperative`` may use, in (0, 1].
    cost_weight_ms : float
        Milliseconds of latency that one unit of egress cost is worth.
    period_s : float
        Control period; a sample older than three of them is missing.
    classes : tuple of str
        Priority classes, the most important first.
    on_missing : {"hold", "static"}
        What an origin does once its sample has been missing for three more periods: hold its last split, or fall to
        the static one.

    Raises
    ------
    SpilloverError
        If a value is outside its range.
    """

    max_utilisation: float = 0.95
    cost_weight_ms: float = 0.0
    period_s: float = 1.0
    classes: tuple[str, ...] = ()
    on_missing: str = "hold"

    def __post_init__(self) -> None:
        _positive("settings.max_utilisation", self.max_utilisation)
        if self.max_utilisation > 1:
            raise SpilloverError(f"settings.max_utilisation must be at most 1, got {self.max_utilisation!r}")
        _not_negative("settings.cost_weight_ms", self.cost_weight_ms)
        _positive("settings.period_s", self.period_s)
        if len(set(self.classes)) != len(self.classes):
            raise SpilloverError(f"settings.classes must name each class once, got {list(self.classes)!r}")
        if self.on_missing not in ON_MISSING:
            raise SpilloverError(
                f"settings.on_missing must be one of {', '.join(ON_MISSING)}, got {_show(self.on_missing)}"
            )


@dataclass(frozen=True, slots=True)
class LinkColumns:
    """Links as columns of plain numbers: origin and peer as places among the sites, round-trip time and cost."""

    origin: array[int]
    peer: array[int]
    rtt_ms: array[float]
    cost: array[float]

    @classmethod
    def of(cls, sites: Mapping[str, Site], links: Sequence[Link]) -> LinkColumns:
        """Return the columns of links between known sites."""
        place = {name: index for index, name in enumerate(sites)}
        return cls(
            origin=array("q", [place[link.origin] for link in links]),
            peer=array("q", [place[link.peer] for link in links]),
            rtt_ms=array("d", [link.rtt_ms for link in links]),
            cost=array("d", [link.cost for link in links]),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All sites and links at one moment: the whole input of a policy.

    Parameters
    ----------
    sites : mapping of str to Site
        By name.
    links : tuple of Link
        Directed; a pair without a link is never spilled over.
    settings : Settings
        The operator's choices.

    Raises
    ------
    SpilloverError
        If a key is not its site's name, a link names an unknown site or is given twice, or a class is unknown.
    """

    sites: Mapping[str, Site]
    links: tuple[Link, ...] = ()
    settings: Settings = field(default_factory=Settings)
    columns: LinkColumns = field(init=False, repr=False, compare=False)
    """The links once more, for policies that compute with all of them at once."""

    def __post_init__(self) -> None:
        if not self.sites:
            raise SpilloverError("sites must hold at least one site, got none")
        for name, site in self.sites.items():
            if name != site.name:
                raise SpilloverError(f"sites.{name} must hold the site of that name, got {site.name!r}")
            self._check_classes(site)
        seen: set[tuple[str, str]] = set()
        for link in self.links:
            for end, name in (("from", link.origin), ("to", link.peer)):
                if name not in self.sites:
                    raise SpilloverError(f"links.{link.origin}->{link.peer}.{end} must name a known site, got {name!r}")
            if (link.origin, link.peer) in seen:
                raise SpilloverError(f"links must hold each pair once, got {link.origin!r} to {link.peer!r} twice")
            seen.add((link.origin, link.peer))
        object.__setattr__(self, "columns", LinkColumns.of(self.sites, self.links))

    def _check_classes(self, site: Site) -> None:
        if isinstance(site.demand_rps, Mapping):
            for name in site.demand_rps:
                if name not in self.settings.classes:
                    raise SpilloverError(
                        f"sites.{site.name}.demand_rps.{name} must be one of settings.classes "
                        f"{list(self.settings.classes)!r}, got {name!r}"
                    )

    def is_missing(self, name: str) -> bool:
        """Whether the site's sample is too old to be used (more than three periods)."""
        return self.sites[name].age_s > MISSING_PERIODS * self.settings.period_s

    @classmethod
    def from_dict(cls, obj: object) -> Snapshot:
        """Build a snapshot from decoded JSON (the input of ``spillover decide``).

        Raises
        ------
        SpilloverError
            If anything is missing, unknown, of a wrong type or out of range; the sentence names field and value.
        """
        top = _mapping("the snapshot", obj, {"sites", "links", "settings"})
        if "sites" not in top:
            raise SpilloverError("the snapshot must have sites, got none")
        sites = {name: _site(name, raw) for name, raw in _mapping("sites", top["sites"]).items()}
        if not sites:
            raise SpilloverError("sites must hold at least one site, got none")
        raw_links = top.get("links", [])
        if not isinstance(raw_links, Sequence) or isinstance(raw_links, str):
            raise SpilloverError(f"links must be a list, got {_show(raw_links)}")
        links = tuple(_link(index, raw, sites) for index, raw in enumerate(raw_links))
        return cls(sites=sites, links=links, settings=_settings(top.get("settings", {})))


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy decided for one snapshot.

    Parameters
    ----------
    policy : str
        Name of the policy.
    split : mapping of origin to mapping of destination to float
        Fractions of the origin's demand; zeros are left out; with the shed fraction they sum to 1.
    weights : mapping of origin to mapping of destination to int
        The split as integers that sum to the total exactly.
    bucket_rps : mapping of origin to float or None
        Rate kept at home by the fast clock; None without a usable link.
    inflight_limit : mapping of site to int
        Requests in service and waiting beyond which the site refuses.
    thresholds_rps : mapping of origin to mapping of peer to float
        Load at home from which spilling to this peer pays now.
    grants_rps : mapping of peer to mapping of origin to float
        The most guests a peer takes from each linked origin.
    shed_rps : mapping of origin to float
        Rate to refuse.
    reasons : mapping of origin to str
        Why, in words.
    predicted_mean_ms : float or None
        Mean latency of what is served; None where a site is at or beyond saturation.
    peer_order : mapping of origin to tuple of str
        The order in which a refused request tries the peers.
    shed_by_class_rps : mapping of origin to mapping of class to float
        ``shed_rps`` by priority class, for origins whose demand has classes.
    saturated : bool
        True when all sites together cannot serve the demand.
    trigger : mapping of origin to str
        What makes the fast clock spill: ``bucket`` (no token), ``inflight`` (a full home) or ``both``.
    spill_weights : mapping of origin to mapping of peer to int
        Which peers a request that does not stay tries first; where there are none, the peers' part of ``weights``.
    """

    policy: str
    split: Mapping[str, Mapping[str, float]]
    weights: Mapping[str, Mapping[str, int]]
    bucket_rps: Mapping[str, float | None]
    inflight_limit: Mapping[str, int]
    thresholds_rps: Mapping[str, Mapping[str, float]]
    grants_rps: Mapping[str, Mapping[str, float]]
    shed_rps: Mapping[str, float]
    reasons: Mapping[str, str]
    predicted_mean_ms: float | None
    peer_order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shed_by_class_rps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    saturated: bool = False
    trigger: Mapping[str, str] = field(default_factory=dict)
    spill_weights: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-able containers."""
        return {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)}


def _plain(value: Any) -> Any:
    """Return mappings of any kind as dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def _number(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpilloverError(f"{where} must be a number, got {_show(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise SpilloverError(f"{where} must be finite, got {_show(value)}")
    if abs(value) > LARGEST:
        raise SpilloverError(f"{where} must be at most {LARGEST:g}, got {_show(value)}")
    return float(value)


def _show(value: object) -> str:
    """Return a value as one short line, whatever it is."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _name(where: str, value: object) -> None:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise SpilloverError(f"{where} must be a non-empty, printable string, got {_show(value)}")


def _not_negative(where: str, value: object) -> None:
    if _number(where, value) < 0:
        raise SpilloverError(f"{where} must be at least 0, got {_show(value)}")


def _positive(where: str, value: object) -> None:
    number = _number(where, value)
    if number <= 0:
        raise SpilloverError(f"{where} must be above 0, got {_show(value)}")
    if number < SMALLEST:
        raise SpilloverError(f"{where} must be at least {SMALLEST:g}, got {_show(value)}")


def _whole_positive(where: str, value: object) -> None:
    number = _number(where, value)
    if number != int(number):
        raise SpilloverError(f"{where} must be a whole number, got {_show(value)}")
    if number < 1:
        raise SpilloverError(f"{where} must be above 0, got {_show(value)}")
    if number > MOST_SERVERS:
        raise SpilloverError(f"{where} must be at most {MOST_SERVERS}, got {_show(value)}")


def _boolean(where: str, value: object) -> None:
    if not isinstance(value, bool):
        raise SpilloverError(f"{where} must be true or false, got {_show(value)}")


def _mapping(where: str, obj: object, known: set[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(obj, Mapping):
        raise SpilloverError(f"{where} must be an object, got {_show(obj)}")
    for key in obj:
        if not isinstance(key, str):
            raise SpilloverError(f"{where} must have strings as keys, got {_show(key)}")
        if known is not None and key not in known:
            raise SpilloverError(f"{where} must have only {', '.join(sorted(known))}, got {_show(key)}")
    return obj


_SITE_KEYS = {"demand_rps", "capacity_rps", "servers", "service_ms", "queue", "healthy", "age_s", "capacity_margin"}


def _site(name: str, raw: object) -> Site:
    _name("a site's name", name)
    where = f"sites.{name}"
    values = dict(_mapping(where, raw, _SITE_KEYS))
    if values.get("capacity_rps") is None:
        raise SpilloverError(f"{where}.capacity_rps must be given, got none")
    demand = values.get("demand_rps", 0.0)
    if isinstance(demand, Mapping):
        for key in demand:
            _name(f"{where}.demand_rps's classes", key)
        values["demand_rps"] = {
            key: _number(f"{where}.demand_rps.{key}", value)
            for key, value in _mapping(f"{where}.demand_rps", demand).items()
        }
    for key in ("capacity_rps", "demand_rps", "service_ms", "queue", "age_s", "capacity_margin"):
        value = values.get(key)
        if value is not None and not isinstance(value, Mapping):
            values[key] = _number(f"{where}.{key}", value)
        elif value is None and key != "service_ms" and key in values:
            raise SpilloverError(f"{where}.{key} must be a number, got {_show(value)}")
    if "servers" in values:
        _whole_positive(f"{where}.servers", values["servers"])
        values["servers"] = int(values["servers"])
    return Site(name=name, **values)


def _link(index: int, raw: object, sites: Mapping[str, Site]) -> Link:
    where = f"links[{index}]"
    values = _mapping(where, raw, {"from", "to", "rtt_ms", "cost"})
    for end in ("from", "to"):
        if end not in values:
            raise SpilloverError(f"{where}.{end} must be given, got none")
        if not isinstance(values[end], str) or values[end] not in sites:
            raise SpilloverError(f"{where}.{end} must name a known site, got {_show(values[end])}")
    return Link(
        origin=values["from"],
        peer=values["to"],
        rtt_ms=_number(f"{where}.rtt_ms", values.get("rtt_ms", 0.0)),
        cost=_number(f"{where}.cost", values.get("cost", 0.0)),
    )


def _settings(raw: object) -> Settings:
    known = {"max_utilisation", "cost_weight_ms", "period_s", "classes", "on_missing"}
    values = dict(_mapping("settings", raw, known))
    for key in ("max_utilisation", "cost_weight_ms", "period_s"):
        if key in values:
            values[key] = _number(f"settings.{key}", values[key])
    classes = values.get("classes", ())
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise SpilloverError(f"settings.classes must be a list of names, got {_show(classes)}")
    for index, name in enumerate(classes):
        _name(f"settings.classes[{index}]", name)
    return Settings(**(values | {"classes": tuple(classes)}))
