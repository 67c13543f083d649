"""Read a run directory into memory, all of it checked before anything is computed."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import documents
from analysis.documents import JsonObject
from analysis.paths import CellPaths, RunPaths
from analysis.samples import read_samples
from analysis.ticks import Ticks, no_ticks, read_ticks
from spillover.model import SpilloverError

DEFAULT_TIMEOUT_S = 120.0
UNBALANCED = "local"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One variant, one repeat: what was asked, and what happened.

    Parameters
    ----------
    name, variant, policy, mode, repeat, seed
        As in run.json.
    baseline
        The variant that this one is compared with; None for a baseline itself.
    settings
        As in run.json.
    samples
        See `analysis.samples.read_samples`.
    ticks
        The controller's view; empty for a `local` cell without a controller.
    load_summary, notes
        load-summary.json, and cell.json (empty if there is none).
    """

    name: str
    variant: str
    policy: str
    mode: str
    repeat: int
    seed: int
    baseline: str | None
    settings: JsonObject
    samples: pd.DataFrame
    ticks: Ticks
    load_summary: JsonObject
    notes: JsonObject

    @property
    def lead_in_s(self) -> float:
        """Seconds of load before the step."""
        return float(self.settings.get("lead_in_s", 0.0))

    @property
    def timeout_ms(self) -> float:
        """The client's time-out."""
        return 1000 * float(self.settings.get("timeout_s", DEFAULT_TIMEOUT_S))

    @property
    def step(self) -> pd.DataFrame:
        """Every request sent in the step: the ones that count."""
        return self.samples[self.samples["in_step"]]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A whole run: its cells in the order of run.json, its links, and the document itself."""

    experiment: str
    run_id: str
    cells: tuple[Cell, ...]
    links: tuple[JsonObject, ...]
    document: JsonObject

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants in the order in which they first appear."""
        return tuple(dict.fromkeys(cell.variant for cell in self.cells))

    def repeats(self, variant: str) -> tuple[Cell, ...]:
        """Return the cells of `variant`."""
        return tuple(cell for cell in self.cells if cell.variant == variant)

    @property
    def busiest_origin(self) -> str:
        """The origin where most requests of all steps entered."""
        counts = pd.concat([cell.step["origin"] for cell in self.cells]).value_counts()
        return str(counts.index[0])

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site that served, was an origin or had its capacity measured: the busiest origin, then the nearest."""
        names = set(self.document.get("measured_capacity_rps") or {})
        for cell in self.cells:
            names |= {*cell.samples["origin"], *cell.samples["serving_site"], *cell.ticks.weights["site"]} - {""}
        home = self.busiest_origin
        rtt_ms = {link["to"]: float(link["rtt_ms"]) for link in self.links if link["from"] == home}
        return (home, *sorted(names - {home}, key=lambda site: (rtt_ms.get(site, math.inf), site)))

    def capacity_rpm(self, site: str) -> float | None:
        """Return the measured capacity of `site`, None if it was not measured."""
        capacity_rps = (self.document.get("measured_capacity_rps") or {}).get(site)
        return None if capacity_rps is None else 60 * float(capacity_rps)


def load_run(root: Path) -> Run:
    """Return the run in `root`.

    Raises
    ------
    SpilloverError
        If a file is missing, a field or a row is not what it should be, or a cell has no request in its step.
    """
    paths = RunPaths(root)
    if not root.is_dir():
        raise SpilloverError(f"{root} is not a directory: give the path of a run, results/<experiment>/<run-id>")
    document = documents.read_object(paths.run_json)
    where = str(paths.run_json)
    cells = tuple(
        _cell(entry, paths, f"{where}: cells[{index}]")
        for index, entry in enumerate(documents.objects(document, "cells", where))
    )
    _check_baselines(cells, where)
    _check_capacities(document, where)
    return Run(
        experiment=documents.text(document, "experiment", where),
        run_id=documents.text(document, "run_id", where),
        cells=cells,
        links=_links(paths),
        document=document,
    )


def _cell(entry: JsonObject, paths: RunPaths, where: str) -> Cell:
    settings = documents.mapping(entry, "settings", where)
    lead_in_s = documents.number(settings, "lead_in_s", f"{where}.settings", default=0.0)
    timeout_s = documents.number(settings, "timeout_s", f"{where}.settings", default=DEFAULT_TIMEOUT_S)
    files = paths.cell(documents.text(entry, "directory", where))
    policy = documents.text(entry, "policy", where)
    load_summary = documents.read_object(files.load_summary_json)
    documents.integer(load_summary, "requests", str(files.load_summary_json))
    started_at_s = documents.number(load_summary, "started_at_s", str(files.load_summary_json))
    samples = read_samples(files.samples_csv, lead_in_s=lead_in_s, timeout_ms=1000 * timeout_s)
    if not samples["in_step"].any():
        raise SpilloverError(f"{files.samples_csv} has no request in the step (start_s from {lead_in_s:g} on)")
    baseline = entry.get("baseline")
    return Cell(
        name=documents.text(entry, "cell", where),
        variant=documents.text(entry, "variant", where),
        policy=policy,
        mode=documents.text(entry, "mode", where),
        repeat=documents.integer(entry, "repeat", where),
        seed=documents.integer(entry, "seed", where),
        baseline=None if baseline is None else documents.text(entry, "baseline", where),
        settings=settings,
        samples=samples,
        ticks=_ticks(files, policy, started_at_s),
        load_summary=load_summary,
        notes=documents.read_object(files.cell_json) if files.cell_json.exists() else {},
    )


def _ticks(files: CellPaths, policy: str, started_at_s: float) -> Ticks:
    """Only a cell without balancing may do without a controller."""
    if policy == UNBALANCED and not files.controller_jsonl.exists():
        return no_ticks()
    return read_ticks(files.controller_jsonl, started_at_s=started_at_s)


def _check_baselines(cells: tuple[Cell, ...], where: str) -> None:
    variants = {cell.variant for cell in cells}
    for cell in cells:
        if cell.baseline is not None and cell.baseline not in variants:
            raise SpilloverError(f"{where}: baseline of cell {cell.name} names no variant, got {cell.baseline!r}")
        if cell.baseline == cell.variant:
            raise SpilloverError(f"{where}: baseline of cell {cell.name} is its own variant, {cell.baseline!r}")


def _check_capacities(document: JsonObject, where: str) -> None:
    if document.get("measured_capacity_rps") is not None:
        capacities = documents.mapping(document, "measured_capacity_rps", where)
        for site in capacities:
            documents.number(capacities, site, f"{where}: measured_capacity_rps")


def _links(paths: RunPaths) -> tuple[JsonObject, ...]:
    links = documents.read_objects(paths.links_json)
    for index, link in enumerate(links):
        where = f"{paths.links_json}[{index}]"
        documents.text(link, "from", where)
        documents.text(link, "to", where)
        for name in ("rtt_ms", "measured_rtt_ms"):
            documents.number(link, name, where)
    return links
