"""``python -m analysis RUN``: read a run directory, write summary.json, the Parquet files and report.html beside it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import figures, findings, frames, reliability, wording
from analysis.load import Run, load_run
from analysis.metrics import measure
from analysis.paths import RunPaths
from analysis.report import report
from analysis.summary import summary, to_json
from analysis.timeline import timeline
from analysis.writing import write_all
from spillover.model import SpilloverError

PICTURE_KINDS = {".svg": "svg", ".png": "png"}
BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 and one sentence on stderr when the input is not what it should be."""
    options = _parser().parse_args(arguments)
    try:
        run = load_run(options.run)
        lines = _write_picture(run, options.picture) if options.picture else _write_results(run, RunPaths(options.run))
    except SpilloverError as error:
        print(f"analysis: {error}", file=sys.stderr)
        return BAD_INPUT
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, results/<experiment>/<run-id>")
    parser.add_argument("--picture", type=Path, metavar="PATH",
                        help="write the main figure alone to PATH (.svg or .png), and nothing else")  # fmt: skip
    return parser


def _write_picture(run: Run, path: Path) -> list[str]:
    kind = PICTURE_KINDS.get(path.suffix.lower())
    if kind is None:
        raise SpilloverError(f"--picture must end in .svg or .png, got {str(path)!r}")
    write_all({path: figures.to_bytes(timeline(run), kind)})
    return [f"picture: {path}"]


def _write_results(run: Run, paths: RunPaths) -> list[str]:
    measured = measure(run)
    write_all({
        paths.summary_json: to_json(summary(measured)),
        paths.samples_parquet: frames.to_parquet(frames.samples_frame(run)),
        paths.weights_parquet: frames.to_parquet(frames.weights_frame(run)),
        paths.demand_parquet: frames.to_parquet(frames.demand_frame(run)),
        paths.report_html: report(measured),
    })  # fmt: skip
    return [
        *(
            f"{compared.variant} against {compared.baseline}: median {wording.change(compared.p50_reduction)}, "
            f"mean {wording.change(compared.mean_reduction)} ({findings.against_published(compared.p50_reduction)})"
            for compared in measured.comparisons
        ),
        *(f"in doubt: {doubt.cell}: {doubt.sentence}" for doubt in reliability.doubts(run)),
        f"report: {paths.report_html}",
    ]


if __name__ == "__main__":
    sys.exit(main())
