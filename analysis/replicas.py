"""Replicas and processor time by site, from the cell.json of an experiment in which replicas follow the load."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from analysis import documents, wording
from analysis.load import Cell, Run
from spillover.model import SpilloverError


@dataclass(frozen=True, slots=True)
class Replicas:
    """The application at one site during a cell.

    Parameters
    ----------
    site
        Its name.
    ready_s
        When each replica became ready, in seconds since the step, ascending.
    cpu_s
        Processor seconds that all of them used, start-up included.
    """

    site: str
    ready_s: tuple[float, ...]
    cpu_s: float


def replicas(cell: Cell) -> tuple[Replicas, ...]:
    """Return the replicas of each site; nothing when the cell has no note of them.

    Raises
    ------
    SpilloverError
        If a note is not what it should be.
    """
    if "replicas_ready_at" not in cell.notes:
        return ()
    where = f"cell.json of {cell.name}"
    used = documents.mapping(cell.notes, "application_cpu_s", where)
    step_at_s = float(cell.load_summary["started_at_s"]) + cell.lead_in_s
    return tuple(
        Replicas(
            site,
            tuple(sorted(_unix_s(moment, where) - step_at_s for moment in moments)),
            documents.number(used, site, f"{where}: application_cpu_s"),
        )
        for site, moments in documents.mapping(cell.notes, "replicas_ready_at", where).items()
    )


def table(run: Run) -> list[dict[str, str]]:
    """Return a row for each cell and site with a note, as the report shows it."""
    return [
        {
            "cell": cell.name,
            "site": one.site,
            "first": str(sum(ready_s <= 0 for ready_s in one.ready_s)),
            "later": ", ".join(f"{ready_s:.0f} s" for ready_s in one.ready_s if ready_s > 0) or wording.NOTHING,
            "cpu": f"{one.cpu_s:.1f} s",
        }
        for cell in run.cells
        for one in replicas(cell)
    ]


def _unix_s(moment: Any, where: str) -> float:
    try:
        return datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError):
        raise SpilloverError(f"{where}: replicas_ready_at must hold times of UTC, got {moment!r}") from None


def later_at(cell: Cell, site: str) -> tuple[float, ...]:
    """Return when further replicas of `site` became ready, in seconds since the step."""
    return tuple(ready_s for one in replicas(cell) if one.site == site for ready_s in one.ready_s if ready_s > 0)
