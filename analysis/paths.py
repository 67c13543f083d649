"""Every path of a run directory, in one place: nothing else in this package joins a file name."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from spillover.model import SpilloverError

TEMPLATES = Path(__file__).parent / "templates"
REPORT_TEMPLATE = "report.html.j2"


@dataclass(frozen=True, slots=True)
class CellPaths:
    """The files of one cell.

    Parameters
    ----------
    root
        The cell's directory, inside the run directory.
    """

    root: Path

    @property
    def samples_csv(self) -> Path:
        """One row a request."""
        return self.root / "samples.csv"

    @property
    def load_summary_json(self) -> Path:
        """What the load generator says of itself."""
        return self.root / "load-summary.json"

    @property
    def controller_jsonl(self) -> Path:
        """The controller's log lines during the cell."""
        return self.root / "controller.jsonl"

    @property
    def cell_json(self) -> Path:
        """What the experiment noted about the cell."""
        return self.root / "cell.json"


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one run, those that are read and those that are written.

    Parameters
    ----------
    root
        ``results/<experiment>/<run-id>``.
    """

    root: Path

    @property
    def run_json(self) -> Path:
        """What was run: cells, settings, seeds, machine, versions."""
        return self.root / "run.json"

    @property
    def links_json(self) -> Path:
        """Configured and measured round-trip time of each link."""
        return self.root / "links.json"

    @property
    def summary_json(self) -> Path:
        """Written: figures of merit by cell, and comparisons."""
        return self.root / "summary.json"

    @property
    def report_html(self) -> Path:
        """Written: the report for people."""
        return self.root / "report.html"

    @property
    def samples_parquet(self) -> Path:
        """Written: the requests as long rows."""
        return self.root / "samples.parquet"

    @property
    def weights_parquet(self) -> Path:
        """Written: the weights over time as long rows."""
        return self.root / "weights.parquet"

    @property
    def demand_parquet(self) -> Path:
        """Written: the demand over time, as the controller saw it, as long rows."""
        return self.root / "demand.parquet"

    def cell(self, directory: str) -> CellPaths:
        """Return the files of the cell in `directory`.

        Raises
        ------
        SpilloverError
            If `directory` is absolute or leads out of the run directory.
        """
        relative = PurePosixPath(directory)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise SpilloverError(f"a cell's directory must lie inside the run directory, got {directory!r}")
        return CellPaths(self.root / relative)
