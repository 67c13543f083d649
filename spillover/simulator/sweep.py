"""Many simulations: variants x scenarios x parameters x seeds, on Dask, each cell kept as soon as it is done.

A cell's key is a digest of all that its result depends on, the sources included: a second run takes what is there and
computes the rest, and never reuses what an older version of the code has computed.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from spillover.model import SpilloverError
from spillover.simulator import engine, scenario
from spillover.simulator.scenario import Scenario, Typed
from spillover.simulator.stability import home_share_deviation
from spillover.simulator.summary import extras, summarise
from spillover.validation import parse, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGE = Path(__file__).parent.parent
DEPENDS_ON = ("model.py", "weights.py", "policies", "optimum", "simulator")
"""Sources, within the package, that a result depends on."""

REPORTING = frozenset({"farm.py", "figures.py", "statistics.py", "tables.py", "targets.py"})
"""Files of the simulator that only report: changing a table must not cost a sweep."""


class Variant(Typed):
    """A policy, how it acts, and what it changes in the scenario (dotted path to value)."""

    name: str
    policy: str
    mode: Literal["weights", "overflow"] = "overflow"
    set: dict[str, Any] = Field(default_factory=dict)


class Sweep(Typed):
    """The file that ``spillover sweep`` reads; ``seeds`` is their number or a list, parameters are dotted paths."""

    scenarios: Annotated[dict[str, str], Field(min_length=1)]
    variants: Annotated[tuple[Variant, ...], Field(strict=False, min_length=1)]
    seeds: Annotated[int, Field(ge=1)] | Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = 10
    parameters: dict[str, Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """One simulation of a sweep: its labels, and all that it needs."""

    labels: Mapping[str, Any]
    scenario: Scenario
    policy: str
    mode: str
    seed: int

    def key(self) -> str:
        """Return the digest that names its result."""
        content = [
            self.scenario.model_dump_json(),
            self.policy,
            self.mode,
            self.seed,
            dict(self.labels),
            sources_digest(),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def load(path: Path) -> tuple[Cell, ...]:
    """Read a sweep's file and build its cells; the scenarios' paths are relative to the file.

    Raises
    ------
    SpilloverError
        If the file or any of its cells is wrong; nothing has been computed then.
    """
    return tuple(_cells(parse(Sweep, read_yaml(path), source=str(path)), path.parent))


def _cells(sweep: Sweep, folder: Path) -> Iterator[Cell]:
    seeds = range(sweep.seeds) if isinstance(sweep.seeds, int) else sweep.seeds
    raw = {
        name: scenario.load(folder / file).model_dump(mode="json", by_alias=True)
        for name, file in sweep.scenarios.items()
    }
    for variant in sweep.variants:
        if variant.policy not in engine.names():
            known = ", ".join(engine.names())
            raise SpilloverError(f"variants.{variant.name}.policy must be one of {known}, got {variant.policy!r}")
    for name, values in itertools.product(raw, itertools.product(*sweep.parameters.values())):
        chosen = dict(zip(sweep.parameters, values, strict=True))
        for variant in sweep.variants:
            changed = scenario.from_dict(
                with_values(raw[name], chosen | variant.set), source=f"scenario {name}, variant {variant.name}"
            )
            for seed in seeds:
                labels = {"scenario": name, "variant": variant.name, **chosen}
                yield Cell(labels, changed, variant.policy, variant.mode, seed)


def with_values(raw: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of plain containers with values put at dotted paths (numbers index lists).

    Raises
    ------
    SpilloverError
        If a path leads through something that is not there.
    """
    copy: dict[str, Any] = json.loads(json.dumps(raw))
    for path, value in values.items():
        *parents, last = path.split(".")
        place: Any = copy
        try:
            for part in parents:
                place = place[int(part)] if isinstance(place, list) else place[part]
            place[int(last) if isinstance(place, list) else last] = value
        except (KeyError, IndexError, ValueError, TypeError):
            raise SpilloverError(f"parameters must be paths into the scenario, got {path!r}") from None
    return copy


@functools.cache
def sources_digest() -> str:
    """Digest of the sources that a result depends on, as they were at the first call: what a process has imported."""
    digest = hashlib.sha256()
    for name in DEPENDS_ON:
        place = PACKAGE / name
        files = [place] if place.is_file() else sorted(place.glob("**/*.py"))
        for file in (file for file in files if not (name == "simulator" and file.name in REPORTING)):
            digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def compute(cell: Cell) -> dict[str, Any]:
    """Run one cell and return its row: labels, figures (units in their names) and where they come from."""
    began_s = time.process_time()
    run = engine.simulate(cell.scenario, cell.policy, cell.mode, cell.seed)
    return {
        **cell.labels,
        **summarise(run),
        **extras(run),
        "home_share_deviation": home_share_deviation(run),
        "took_s": time.process_time() - began_s,
        "version": metadata.version("spillover"),
        "sources": sources_digest(),
        "cell": cell.key(),
    }
