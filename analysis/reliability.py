"""Say plainly when a cell's figures deserve doubt, and why."""

from collections.abc import Iterator
from dataclasses import dataclass

from analysis import wording
from analysis.load import Cell, Run

LATENESS_LIMIT_MS = 50.0
SERVICE_LIMIT = 1.5  # a request's work takes at most this many times as long as in the run's best cell
CPU_BUSY_LIMIT = 0.95
OTHER_ERRORS_LIMIT = 0.005
LINK_LIMIT_MS = 5.0
COMPLETE = "duration"  # what the generator says of a load that ran to its end
MIN_SERVED = 20  # below this many requests a median service time says little


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason not to trust a cell's figures."""

    cell: str
    variant: str
    repeat: int
    sentence: str


def lateness_p99_ms(cell: Cell) -> float:
    """Return how late the generator sent the slowest 1 % of the requests: its own word or the rows', the worse one."""
    reported = cell.load_summary.get("lateness_p99_ms")
    measured = float(cell.samples["lateness_ms"].quantile(0.99))
    return max(measured, float(reported)) if isinstance(reported, int | float) else measured


def doubts(run: Run) -> list[Doubt]:
    """Return every doubt about every cell, in the order of the run."""
    best_service_ms = _best_service_ms(run)
    return [
        Doubt(cell.name, cell.variant, cell.repeat, sentence)
        for cell in run.cells
        for sentence in (
            *_generator(cell),
            *_stopped(cell),
            *_errors(cell),
            *_machine(cell, best_service_ms),
            *_controller(cell),
        )
    ]


def _generator(cell: Cell) -> Iterator[str]:
    late_ms = lateness_p99_ms(cell)
    if late_ms > LATENESS_LIMIT_MS:
        yield (
            f"the generator sent late: p99 of the lateness is {wording.ms(late_ms)} (limit {LATENESS_LIMIT_MS:g} ms), "
            "so the load was not the one that was asked for"
        )
    sent, rows = int(cell.load_summary["requests"]), len(cell.samples)
    if sent != rows:
        yield (
            f"{abs(sent - rows):,} rows are {'missing' if sent > rows else 'too many'}: the generator reports "
            f"{sent:,} requests, samples.csv holds {rows:,}"
        )
    planned = cell.load_summary.get("planned")
    if isinstance(planned, int) and planned > rows:
        yield f"{planned - rows:,} of {planned:,} planned requests have no row"


def _stopped(cell: Cell) -> Iterator[str]:
    stopped_by = cell.load_summary.get("stopped_by")
    if stopped_by != COMPLETE:
        yield f"the load stopped early (stopped by: {stopped_by})"


def _errors(cell: Cell) -> Iterator[str]:
    step = cell.step
    other = int((step["is_error"] & ~step["is_timeout"]).sum())
    if other > OTHER_ERRORS_LIMIT * len(step):
        yield (
            f"{other:,} of {len(step):,} requests failed other than by the time-out; they count with the time that the "
            "client measured, which may be shorter than an answer takes"
        )
    nowhere = int((~step["is_error"] & (step["serving_site"] == "")).sum())
    if nowhere:
        yield f"{nowhere:,} answers do not say which site served them"


def _best_service_ms(run: Run) -> dict[str, float]:
    best: dict[str, float] = {}
    for cell in run.cells:
        for site, service_ms in _service_ms(cell).items():
            best[site] = min(service_ms, best.get(site, service_ms))
    return best


def _service_ms(cell: Cell) -> dict[str, float]:
    served = cell.step[~cell.step["is_error"] & cell.step["service_ms"].notna()]
    by_site = served.groupby("serving_site")["service_ms"]
    return {str(site): float(times.median()) for site, times in by_site if len(times) >= MIN_SERVED}


def _machine(cell: Cell, best_service_ms: dict[str, float]) -> Iterator[str]:
    for site, service_ms in _service_ms(cell).items():
        if service_ms > SERVICE_LIMIT * best_service_ms[site]:
            yield (
                f"the machine was a bottleneck: a request's own work at {site} took {wording.ms(service_ms)} (median), "
                f"{wording.ms(best_service_ms[site])} in the run's best cell"
            )
    busy = cell.notes.get("cpu_busy_fraction")
    if isinstance(busy, int | float) and busy > CPU_BUSY_LIMIT:
        yield f"the machine was a bottleneck: its processors were {wording.percent(busy, 0)} busy"


def _controller(cell: Cell) -> Iterator[str]:
    if cell.ticks.foreign_lines:
        yield f"{cell.ticks.foreign_lines} lines of controller.jsonl are not the controller's"
    demand = cell.ticks.demand
    during = demand[(demand["time_s"] >= cell.lead_in_s) & (demand["time_s"] <= cell.samples["start_s"].max())]
    unknown = float(during["demand_rpm"].isna().mean()) if len(during) else 0.0
    if unknown > 0.1:
        yield f"the controller did not know the demand in {wording.percent(unknown, 0)} of its ticks"


def link_doubts(run: Run) -> list[str]:
    """Return a sentence for every link whose measured round-trip time is far from the configured one."""
    return [
        f"{link['from']} to {link['to']}: measured {wording.ms(link['measured_rtt_ms'])}, "
        f"configured {wording.ms(link['rtt_ms'])}"
        for link in run.links
        if abs(link["measured_rtt_ms"] - link["rtt_ms"]) > max(LINK_LIMIT_MS, 0.2 * link["rtt_ms"])
    ]
