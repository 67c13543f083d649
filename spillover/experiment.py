"""Experiments as data: what experiments/*.yml may say, and the cells that follow from it.

An experiment compares variants (a policy, how it acts, its times) under one load. A cell is one run of one variant with
one seed. `spillover.experiment_load` builds the load of a cell.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from spillover.model import SpilloverError
from spillover.policies import NAMES
from spillover.validation import Strict, parse, read_yaml

if TYPE_CHECKING:
    from pathlib import Path

UNBALANCED = "local"
NAME = r"^[a-z0-9][a-z0-9-]*$"


class SiteEntry(Strict):
    """A site: `servers` requests are worked on at a time."""

    servers: int = Field(default=1, ge=1)


class LinkEntry(Strict):
    """An ordered pair of sites and its extra round-trip time."""

    model_config = ConfigDict(populate_by_name=True)

    origin: str = Field(alias="from")
    peer: str = Field(alias="to")
    rtt_ms: float = Field(ge=0)


class Calibration(Strict):
    """How a site's capacity is measured: `users_per_server` closed-loop users keep it busy.

    Answers of the first `skip_s` seconds are left out: the queue has to fill first.
    """

    users_per_server: int = Field(default=4, ge=1, le=100)
    duration_s: float = Field(default=20, gt=0, le=600)
    skip_s: float = Field(default=4, ge=0)

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.skip_s >= self.duration_s:
            raise ValueError(f"skip_s must be below duration_s ({self.duration_s:g}), got {self.skip_s:g}")
        return self


class StreamEntry(Strict):
    """The demand of one origin, as multiples of its measured capacity.

    `lead_in_factor` holds during the lead-in, so that the step meets a system in its steady state; `factor` afterwards.
    """

    origin: str
    arrivals: Literal["poisson", "even"] = "poisson"
    lead_in_factor: float = Field(default=0.5, ge=0)
    factor: float = Field(ge=0, le=100)


class Load(Strict):
    """The load of every cell.

    Parameters
    ----------
    path, host
        Of each request.
    streams
        The demand of each origin that has any.
    lead_in_s
        Length of the lead-in; its requests are not part of the result.
    timeout_s, drain_s
        The client's timeout, and how long after the last arrival the run may go on.
    max_requests
        The hard stop in count. A cell that would need more is an error, because a cut load is another load.
    """

    path: str = "/"
    host: str | None = None
    streams: tuple[StreamEntry, ...] = Field(min_length=1)
    lead_in_s: float = Field(default=10, ge=0)
    timeout_s: float = Field(default=120, gt=0)
    drain_s: float = Field(default=130, gt=0)
    max_requests: int = Field(default=20_000, ge=1)

    @model_validator(mode="after")
    def _timeout_comes_first(self) -> Self:
        if self.drain_s < self.timeout_s:
            raise ValueError(f"drain_s must be at least timeout_s ({self.timeout_s:g}), got {self.drain_s:g}")
        return self


class Autoscaling(Strict):
    """Kubernetes' HorizontalPodAutoscaler while a variant runs: it moves replicas where spilling moves requests.

    Parameters
    ----------
    sites
        Where the application's replicas follow its load.
    min_replicas, max_replicas
        The fewest, and as many as the site has room for.
    target_cpu_percent
        What each replica should use, in per cent of its processor limit. A percentage of its request, as Kubernetes'
        own setting has it, would say little where the limit is a multiple of the request.
    """

    sites: tuple[str, ...] = Field(min_length=1)
    min_replicas: int = Field(default=1, ge=1, le=10)
    max_replicas: int = Field(default=2, ge=1, le=10)
    target_cpu_percent: int = Field(default=50, ge=1, le=100)

    @model_validator(mode="after")
    def _something_can_be_scaled(self) -> Self:
        if self.max_replicas <= self.min_replicas:
            raise ValueError(f"max_replicas must be above min_replicas ({self.min_replicas}), got {self.max_replicas}")
        return self


class Variant(Strict):
    """What is compared.

    Parameters
    ----------
    name
        Its name in the results.
    policy, mode
        The rule, and how it acts on the mesh.
    duration_s
        Length of the step.
    window_s, period_s
        Demand is averaged over the window, and the policy decides once a period.
    rpm_max_factor
        RPM_max as a part of the measured capacity.
    load_factor
        Its load as a part of the experiment's: what the same policy shows with a smaller crowd, for comparison.
    baseline
        Name of the variant that this one is compared with.
    autoscaling
        How replicas follow the load meanwhile, None for one replica at every site.
    """

    name: str = Field(pattern=NAME)
    policy: str
    mode: Literal["weights", "overflow"] = "weights"
    duration_s: float = Field(gt=0, le=3600)
    window_s: float = Field(default=1, gt=0)
    period_s: float = Field(default=1, gt=0)
    rpm_max_factor: float = Field(default=1.0, gt=0)
    load_factor: float = Field(default=1.0, gt=0, le=100)
    baseline: str | None = None
    autoscaling: Autoscaling | None = None


class Experiment(Strict):
    """One file of experiments/: see the classes above for its parts.

    `seeds` has one entry for each of the `repeats`; all variants of a repeat get the same arrivals. Each repeat runs
    every variant once, in an order drawn from `order_seed`, so that a drift of the machine meets all variants alike.
    `setup_s` is the time to set up one cell, for the estimate of the whole.
    """

    name: str = Field(pattern=NAME)
    question: str = Field(min_length=1)
    profile: Literal["full", "short"] = "full"
    sites: dict[str, SiteEntry] = Field(min_length=1)
    links: tuple[LinkEntry, ...] = ()
    calibration: Calibration = Calibration()
    load: Load
    variants: tuple[Variant, ...] = Field(min_length=1)
    repeats: int = Field(default=1, ge=1, le=100)
    seeds: tuple[int, ...]
    order_seed: int = Field(default=0, ge=0)
    setup_s: float = Field(default=20, ge=0)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for origin in (stream.origin for stream in self.load.streams):
            self._known_site("load.streams", origin)
        for link in self.links:
            self._known_site("links", link.origin)
            self._known_site("links", link.peer)
            if link.origin == link.peer:
                raise ValueError(f"links must join two sites, got one from {link.origin!r} to itself")
        if len(self.seeds) != self.repeats or len(set(self.seeds)) != self.repeats or min(self.seeds) < 0:
            raise ValueError(f"seeds must be {self.repeats} different numbers from 0 on, got {list(self.seeds)}")
        for variant in self.variants:
            self._check_variant(variant)
        return self

    def _known_site(self, field: str, site: str) -> None:
        if site not in self.sites:
            raise ValueError(f"{field} must name sites ({', '.join(self.sites)}), got {site!r}")

    def _check_variant(self, variant: Variant) -> None:
        where = f"variants.{variant.name}"
        if sum(other.name == variant.name for other in self.variants) > 1:
            raise ValueError(f"{where} must be there once, got it twice")
        if variant.policy not in NAMES:
            raise ValueError(f"{where}.policy must be one of {', '.join(NAMES)}, got {variant.policy!r}")
        for site in variant.autoscaling.sites if variant.autoscaling else ():
            self._known_site(f"{where}.autoscaling.sites", site)
        if variant.baseline is None:
            return
        baseline = next((other for other in self.variants if other.name == variant.baseline), None)
        if baseline is None:
            raise ValueError(f"{where}.baseline must name a variant, got {variant.baseline!r}")
        if baseline.baseline is not None:
            raise ValueError(f"{where}.baseline must have no baseline itself, got {variant.baseline!r}")
        if baseline.load_factor != variant.load_factor:
            raise ValueError(
                f"{where}.baseline must have the same load_factor ({variant.load_factor:g}),"
                f" got {variant.baseline!r} with {baseline.load_factor:g}"
            )
        if baseline.duration_s != variant.duration_s:
            raise ValueError(
                f"{where}.baseline must last as long ({variant.duration_s:g} s),"
                f" got {variant.baseline!r} with {baseline.duration_s:g} s"
            )


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of one variant, with everything that sets it apart.

    Parameters
    ----------
    cell
        Its identifier, such as ``01-paper-1s-rpm80-seed7``: the number is its place in the order.
    variant, policy, mode, repeat, seed, baseline
        As in results' run.json.
    settings
        `duration_s`, `window_s`, `period_s`, `rpm_max_factor`, `load_factor` of the variant, `lead_in_s` and
        `timeout_s` of the load.
    directory
        Where its results go, relative to the run's directory.
    estimated_s
        How long it will take.
    autoscaling
        The fields of the variant's `Autoscaling`, None without one.
    """

    cell: str
    variant: str
    policy: str
    mode: str
    repeat: int
    seed: int
    baseline: str | None
    settings: dict[str, float]
    directory: str
    estimated_s: float
    autoscaling: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as JSON has it."""
        return asdict(self)


def load_experiment(path: Path) -> Experiment:
    """Read an experiment's file.

    Raises
    ------
    SpilloverError
        If the file cannot be read, is not YAML, or a field is wrong; one sentence.
    """
    return parse(Experiment, read_yaml(path), source=str(path))


def expand(experiment: Experiment) -> list[Cell]:
    """Return the cells of an experiment in the order in which they run."""
    draws = random.Random(experiment.order_seed)  # noqa: S311 (an order, not a secret)
    runs: list[tuple[int, Variant]] = []
    for repeat in range(1, experiment.repeats + 1):
        runs += [(repeat, variant) for variant in draws.sample(experiment.variants, len(experiment.variants))]
    return [_cell(experiment, number, repeat, variant) for number, (repeat, variant) in enumerate(runs, start=1)]


def _cell(experiment: Experiment, number: int, repeat: int, variant: Variant) -> Cell:
    seed = experiment.seeds[repeat - 1]
    percent = f"rpm{round(100 * variant.rpm_max_factor)}"
    rule = (
        variant.name if variant.policy == UNBALANCED or variant.name.endswith(percent) else f"{variant.name}-{percent}"
    )
    identifier = f"{number:02d}-{rule}-seed{seed}"
    return Cell(
        cell=identifier,
        variant=variant.name,
        policy=variant.policy,
        mode=variant.mode,
        repeat=repeat,
        seed=seed,
        baseline=variant.baseline,
        settings={
            "duration_s": variant.duration_s,
            "window_s": variant.window_s,
            "period_s": variant.period_s,
            "rpm_max_factor": variant.rpm_max_factor,
            "load_factor": variant.load_factor,
            "lead_in_s": experiment.load.lead_in_s,
            "timeout_s": experiment.load.timeout_s,
        },
        directory=f"cells/{identifier}",
        estimated_s=_estimated_s(experiment, variant),
        autoscaling=variant.autoscaling.model_dump(mode="json") if variant.autoscaling else None,
    )


def _estimated_s(experiment: Experiment, variant: Variant) -> float:
    """Estimate a cell's length: set-up, lead-in, step, and the backlog's end.

    While nothing is spilled a backlog grows by factor - 1 seconds of work a second: the whole step without balancing,
    a window and a period with it. No request waits longer than the client.
    """
    unbalanced_s = variant.duration_s if variant.policy == UNBALANCED else variant.window_s + variant.period_s
    excess = max(0.0, variant.load_factor * max(stream.factor for stream in experiment.load.streams) - 1)
    drain_s = min(excess * min(unbalanced_s, variant.duration_s), experiment.load.timeout_s)
    return round(experiment.setup_s + experiment.load.lead_in_s + variant.duration_s + drain_s, 1)


def calibration_s(experiment: Experiment) -> float:
    """How long it takes to measure the capacity of every site, one after the other."""
    return len(experiment.sites) * (experiment.calibration.duration_s + experiment.setup_s)


def find_cell(experiment: Experiment, identifier: str) -> Cell:
    """Return the cell of that name; SpilloverError names those there are."""
    cells = {cell.cell: cell for cell in expand(experiment)}
    if identifier not in cells:
        raise SpilloverError(f"cell must be one of {', '.join(cells)}, got {identifier!r}")
    return cells[identifier]
