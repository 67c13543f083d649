"""A scenario: simulated sites, their load, how they are controlled and what goes wrong.

The input of ``spillover simulate``. Anything that is not understood is an error: a misspelt key must not become a
default.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from spillover.model import GRANT_BURST
from spillover.validation import Strict, parse, read_yaml

if TYPE_CHECKING:
    from pathlib import Path

MOST_REQUESTS = 20_000_000
"""More expected arrivals than this would not fit in the memory of a small machine."""

MOST_PERIODS = 1_000_000
"""More decisions than this would take hours."""

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Typed(Strict):
    """A part of a file in which nothing of another type passes either; made in Python, it takes our names."""

    model_config = ConfigDict(strict=True, populate_by_name=True)


class Service(Typed):
    """How long the work of a request takes: its distribution, with mean ``servers / capacity_rps``.

    ``cv`` is the coefficient of variation and belongs to ``lognormal``; ``exponential`` has 1, ``deterministic`` 0.
    """

    distribution: Literal["exponential", "deterministic", "lognormal"] = "exponential"
    cv: Positive | None = None

    @model_validator(mode="after")
    def _only_lognormal_has_a_cv(self) -> Self:
        fixed = {"exponential": 1.0, "deterministic": 0.0}.get(self.distribution)
        if self.cv is not None and fixed is not None and self.cv != fixed:
            raise ValueError(f"cv of the {self.distribution} distribution must be {fixed:g}, got {self.cv!r}")
        return self


class SimulatedSite(Typed):
    """A site of ``servers`` servers that share ``capacity_rps``.

    ``queue_limit`` bounds the requests that wait (under processor sharing: those beyond one a server); None means no
    bound. ``told_capacity_rps`` is what the controller believes the capacity to be, when that is wrong.
    """

    capacity_rps: Positive
    servers: Annotated[int, Field(ge=1, le=10_000)] = 1
    discipline: Literal["ps", "fcfs"] = "fcfs"
    service: Service = Service()
    queue_limit: Annotated[int, Field(ge=0)] | None = None
    told_capacity_rps: Positive | None = None


class SimulatedLink(Typed):
    """A directed link, as in a snapshot."""

    origin: Annotated[str, Field(alias="from")]
    peer: Annotated[str, Field(alias="to")]
    rtt_ms: NotNegative = 0.0
    cost: NotNegative = 0.0


class Step(Typed):
    """From ``from_s`` on, until the next step, requests arrive as a Poisson process of ``rps``."""

    from_s: NotNegative
    rps: NotNegative


class Wave(Typed):
    """Poisson arrivals at ``mean_rps * (1 + amplitude * sin(2 pi t / period_s + phase))``; phase in radians."""

    mean_rps: NotNegative
    amplitude: Annotated[float, Field(ge=0, le=1)] = 0.0
    period_s: Positive
    phase: float = 0.0


class Users(Typed):
    """Closed loop: so many users, each of whom thinks (exponential, mean ``think_s``) between its requests."""

    users: Annotated[int, Field(ge=1, le=1_000_000)]
    think_s: NotNegative = 0.0


def _kind_of_arrivals(value: object) -> str:
    # Tags with a space are no field's name: an error's path must not take one for the other.
    if isinstance(value, dict):
        return "closed loop" if "users" in value or "think_s" in value else "a wave"
    return {Users: "closed loop", Wave: "a wave"}.get(type(value), "some steps")  # type: ignore[call-overload, no-any-return]


Arrivals = Annotated[
    Annotated[tuple[Step, ...], Field(strict=False, min_length=1), Tag("some steps")]
    | Annotated[Wave, Tag("a wave")]
    | Annotated[Users, Tag("closed loop")],
    Discriminator(_kind_of_arrivals),
]


class Control(Typed):
    """How a policy is fed and obeyed.

    Parameters
    ----------
    window_s : float, optional
        Demand is averaged over this window before the tick; by default 1 s in ``weights`` mode, where it is the
        reaction, and 10 s in ``overflow`` mode, where the proxies react.
    period_s : float
        Time between two ticks.
    delay_s : float
        From a tick until its decision is in force (the push through the mesh).
    trigger : {"bucket", "inflight", "both"}, optional
        What makes a request leave home in ``overflow`` mode; by default what the policy says for each origin.
    burst : float
        Depth of the origin's token bucket.
    grant_burst : float
        Depth of the buckets of guests: a grant bounds a peer's load in the mean, the in-flight limit at each moment.
    grants : bool
        Whether peers enforce the grants of the decision.
    timeout_s : float, optional
        After which a client gives up; its request is still worked on, since the server does not notice.
    attempts : int
        Destinations that the origin tries for one request, home as the last resort included.
    total : int
        What the integer weights of an origin sum to.
    demand_from : {"ingress", "kept"}
        Where demand is counted: before the split, as it must be, or after it, to show what goes wrong.
    bucket_rps, inflight_limit : mapping of str to number
        Fixed values that replace the policy's own, by origin and by site.
    """

    window_s: Positive | None = None
    period_s: Positive = 1.0
    delay_s: NotNegative = 0.0
    trigger: Literal["bucket", "inflight", "both"] | None = None
    burst: Annotated[float, Field(ge=1)] = 2.0
    grant_burst: Annotated[float, Field(ge=1)] = float(GRANT_BURST)
    grants: bool = True
    timeout_s: Positive | None = None
    attempts: Annotated[int, Field(ge=1, le=64)] = 5
    total: Annotated[int, Field(ge=1)] = 100
    demand_from: Literal["ingress", "kept"] = "ingress"
    bucket_rps: dict[str, NotNegative] = Field(default_factory=dict)
    inflight_limit: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)


class Event(Typed):
    """Something that happens at ``at_s``: to a site's capacity, to a site's metrics, or to the controller.

    ``capacity_factor`` scales the speed of the site's servers; at 0 the site is dead: what is in it is lost and what
    comes is refused. ``metrics: lying`` multiplies the reported demand by ``demand_factor``.
    """

    at_s: NotNegative
    site: str | None = None
    capacity_factor: NotNegative | None = None
    metrics: Literal["stale", "missing", "lying", "ok"] | None = None
    demand_factor: NotNegative | None = None
    controller: Literal["stopped", "ok"] | None = None

    @model_validator(mode="after")
    def _one_thing_happens(self) -> Self:
        given = [name for name in ("capacity_factor", "metrics", "controller") if getattr(self, name) is not None]
        if len(given) != 1:
            named = " and ".join(given) or "none"
            raise ValueError(f"an event must have one of capacity_factor, metrics and controller, got {named}")
        if (self.site is None) != (given == ["controller"]):
            raise ValueError(f"site must be given for capacity_factor and metrics only, got {self.site!r}")
        if (self.demand_factor is not None) != (self.metrics == "lying"):
            raise ValueError(f"demand_factor must be given for lying metrics only, got {self.demand_factor!r}")
        return self


class PolicySettings(Typed):
    """The settings of a snapshot that a policy reads; ``period_s`` is the control's."""

    max_utilisation: Annotated[float, Field(gt=0, le=1)] = 0.95
    cost_weight_ms: NotNegative = 0.0


class Scenario(Typed):
    """Everything that ``spillover simulate`` reads from a file."""

    duration_s: Positive
    warmup_s: NotNegative = 0.0
    sites: Annotated[dict[str, SimulatedSite], Field(min_length=1)]
    links: Annotated[tuple[SimulatedLink, ...], Field(strict=False)] = ()
    arrivals: Annotated[dict[str, Arrivals], Field(min_length=1)]
    control: Control = Control()
    events: Annotated[tuple[Event, ...], Field(strict=False)] = ()
    settings: PolicySettings = PolicySettings()

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.warmup_s >= self.duration_s:
            raise ValueError(f"warmup_s must be below duration_s {self.duration_s:g}, got {self.warmup_s!r}")
        shortest_s = self.duration_s / MOST_PERIODS
        if self.control.period_s < shortest_s:
            raise ValueError(f"control.period_s must be at least {shortest_s:g}, got {self.control.period_s!r}")
        for where, name in self._named_sites():
            if name not in self.sites:
                raise ValueError(f"{where} must name a known site, got {name!r}")
        self._check_links()
        for origin, steps in self.arrivals.items():
            if isinstance(steps, tuple) and any(a.from_s >= b.from_s for a, b in pairwise(steps)):
                times = [step.from_s for step in steps]
                raise ValueError(f"arrivals.{origin}: from_s must rise from step to step, got {times}")
        expected = sum(expected_requests(self, origin) for origin in self.arrivals)
        if expected > MOST_REQUESTS:
            raise ValueError(f"arrivals must be at most {MOST_REQUESTS} requests in all, got about {expected:.3g}")
        return self

    def _named_sites(self) -> list[tuple[str, str]]:
        named = [("arrivals", name) for name in self.arrivals]
        named += [("links.from", link.origin) for link in self.links]
        named += [("links.to", link.peer) for link in self.links]
        named += [("events.site", event.site) for event in self.events if event.site is not None]
        named += [("control.bucket_rps", name) for name in self.control.bucket_rps]
        named += [("control.inflight_limit", name) for name in self.control.inflight_limit]
        return named

    def _check_links(self) -> None:
        seen = set()
        for link in self.links:
            if link.origin == link.peer:
                raise ValueError(f"links must join two sites, got one from {link.origin!r} to itself")
            if (link.origin, link.peer) in seen:
                raise ValueError(f"links must hold each pair once, got {link.origin!r} to {link.peer!r} twice")
            seen.add((link.origin, link.peer))


def from_dict(obj: object, *, source: str = "scenario") -> Scenario:
    """Check a decoded scenario.

    Raises
    ------
    SpilloverError
        If anything is missing, unknown, of a wrong type or out of range; the sentence names field and value.
    """
    return parse(Scenario, obj, source=source)


def load(path: Path) -> Scenario:
    """Read a scenario from a YAML file.

    Raises
    ------
    SpilloverError
        If the file cannot be read, is not YAML, or is not a scenario.
    """
    return from_dict(read_yaml(path), source=str(path))


def mean_rps(arrivals: tuple[Step, ...] | Wave, start_s: float, end_s: float) -> float:
    """Mean rate of open-loop arrivals between two times."""
    return integrated_excess(arrivals, 0.0, start_s, end_s) / (end_s - start_s)


def integrated_excess(arrivals: tuple[Step, ...] | Wave, limit_rps: float, start_s: float, end_s: float) -> float:
    """Integral of what a rate has above a limit: requests that cannot be served at home.

    A wave is summed over 10,000 slices, which is exact to about 1e-4 of its amplitude.
    """
    if isinstance(arrivals, Wave):
        slices = 10_000
        width = (end_s - start_s) / slices
        times = (start_s + (k + 0.5) * width for k in range(slices))
        return width * math.fsum(max(0.0, rate_at(arrivals, t) - limit_rps) for t in times)
    ends = [step.from_s for step in arrivals[1:]] + [math.inf]
    return math.fsum(
        max(0.0, step.rps - limit_rps) * max(0.0, min(end, end_s) - max(step.from_s, start_s))
        for step, end in zip(arrivals, ends, strict=True)
    )


def rate_at(wave: Wave, t_s: float) -> float:
    """Rate of a wave at one moment."""
    return wave.mean_rps * (1.0 + wave.amplitude * math.sin(2.0 * math.pi * t_s / wave.period_s + wave.phase))


def constant_rps(arrivals: tuple[Step, ...] | Wave | Users) -> float | None:
    """Return the one rate of arrivals that never change, None where they do (or depend on the answers)."""
    if isinstance(arrivals, Users):
        return None
    if isinstance(arrivals, Wave):
        return arrivals.mean_rps if arrivals.amplitude == 0 or arrivals.mean_rps == 0 else None
    rates = {step.rps for step in arrivals} | ({0.0} if arrivals[0].from_s > 0 else set())
    return rates.pop() if len(rates) == 1 else None


def expected_requests(scenario: Scenario, origin: str) -> float:
    """Arrivals to expect from one origin; for users, the number that they send when answers take no time."""
    arrivals = scenario.arrivals[origin]
    if isinstance(arrivals, Users):
        capacity = sum(site.capacity_rps for site in scenario.sites.values())
        fastest = arrivals.users / arrivals.think_s if arrivals.think_s > 0 else math.inf
        return min(fastest, capacity) * scenario.duration_s
    return mean_rps(arrivals, 0.0, scenario.duration_s) * scenario.duration_s
