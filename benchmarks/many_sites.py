"""What one controller costs: processor time, memory and punctuality with many sites that are not there.

    python benchmarks/many_sites.py [--sites 3 200] [--seconds 60] [--mode overflow weights] [--write]

The real ``spillover controller`` runs on one core, at a period of 1 s, as a leader with a lease, against collectors and
API servers (with TLS) from `fake_sites.py`, which run on the other cores. Each site is linked to some 8 others; demand
swings around what the seed draws and arrives at random, so rates and weights have to be written. Its probes and its
metrics are read as often as a cluster does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import httpx
import yaml
from documents import machine, replace_table
from fleet import PERIOD_S, SEED, config_of, plan_of, write_certificate
from prometheus_client.parser import text_string_to_metric_families

from spillover.optimum.instances import random_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/controller-benchmark.md"
PEERS = 8
WARM_UP_S = 15.0
SCRAPE_EVERY = 15
"""Seconds from one look at the metrics to the next; readiness is asked for each second."""

START_S, STOP_S = 60.0, 10.0
BOUND_SITES, BOUND_CORES, BOUND_MB = 3, 0.05, 120.0
"""What so many sites may cost; more have to fit on the core."""

Asked = list[tuple[float, str, str]]
"""When, whose, and by which method."""


@dataclass(frozen=True)
class Seen:
    """What one run has left.

    Parameters
    ----------
    began_s, ended_s : float
        The measured part, on the monotonic clock.
    cpu_s : list of float
        Processor time of each second of it.
    peak_mb : float
        Of resident memory.
    scrapes : list of dict
        Each a time on the monotonic clock under ``at_s``, and values by series.
    log : list of dict
        The controller's lines, with ``at_s`` on the monotonic clock.
    reads, calls : list of tuple
        What collectors and API servers were asked.
    """

    began_s: float
    ended_s: float
    cpu_s: list[float]
    peak_mb: float
    scrapes: list[dict[str, float]]
    log: list[dict[str, Any]]
    reads: Asked
    calls: Asked


@contextmanager
def fakes(which: str, plan: Path, cores: set[int]) -> Iterator[tuple[dict[str, int], subprocess.Popen[str]]]:
    """Run one kind of fakes; yield their ports by site."""
    command = [sys.executable, str(ROOT / "benchmarks/fake_sites.py"), which, str(plan)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, cores)
        try:
            assert process.stdout is not None  # noqa: S101  it was asked for
            yield json.loads(process.stdout.readline()), process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> Asked:
    """End fakes and return what they were asked."""
    return [(at_s, site, method) for at_s, site, method in json.loads(process.communicate("", timeout=STOP_S)[0])]


@contextmanager
def controller(directory: Path, core: int) -> Iterator[tuple[str, int]]:
    """Run the controller on one core; yield its address and process id. It has written its log when it is left."""
    port = free_port()
    command = [sys.executable, "-m", "spillover", "controller", "--config", str(directory / "config.yaml")]
    command += ["--listen", f"127.0.0.1:{port}"]
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as in its Deployment
    with ExitStack() as stack:
        log = stack.enter_context((directory / "log").open("wb"))
        process = stack.enter_context(subprocess.Popen(command, stdout=log, cwd=ROOT, env=alone))
        os.sched_setaffinity(process.pid, {core})  # its threads come later and inherit it
        try:
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processor_s(pid: int) -> float:
    """Return the processor time that a process of ours has had (Linux's clock of that process)."""
    return time.clock_gettime((~pid << 3) | 2)


def peak_mb(pid: int) -> float:
    """Return the most memory that the process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) * 1024.0 / 1e6 for line in lines if line.startswith("VmHWM:"))


def scrape(client: httpx.Client) -> dict[str, float]:
    """Return the controller's metrics by series, and when they were read."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    series = {
        " ".join((sample.name, *sample.labels.values())): sample.value for made in families for sample in made.samples
    }
    return series | {"at_s": time.monotonic()}


def wait_until_ready(client: httpx.Client) -> None:
    """Wait until the controller has read every site and has decided."""
    ends = time.monotonic() + START_S
    why = "it does not listen"
    while time.monotonic() < ends:
        try:
            answer = client.get("/readyz")
        except httpx.HTTPError:
            time.sleep(0.2)
            continue
        if answer.is_success:
            return
        why = answer.text.strip()
        time.sleep(0.2)
    raise SystemExit(f"the controller was not ready within {START_S:g} s: {why[:200]}")


def watch(url: str, pid: int, seconds: int) -> tuple[list[float], list[dict[str, float]]]:
    """Probe and scrape as a cluster does; return the processor time of each second, and what the metrics said."""
    with httpx.Client(base_url=url, trust_env=False, timeout=5.0) as client:
        wait_until_ready(client)
        time.sleep(WARM_UP_S)
        began_s, before_s = time.monotonic(), processor_s(pid)
        scrapes, spent_s = [scrape(client)], []
        for second in range(1, seconds + 1):
            client.get("/readyz")
            if second % SCRAPE_EVERY == 0:
                scrapes.append(scrape(client))
            time.sleep(max(0.0, began_s + second - time.monotonic()))
            now_s = processor_s(pid)
            spent_s.append(now_s - before_s)
            before_s = now_s
        return spent_s, [*scrapes, scrape(client)]


def run(sites: int, mode: str, seconds: int) -> Seen:
    """Run a controller against so many sites."""
    core, *others = sorted(os.sched_getaffinity(0))
    snapshot = random_snapshot(SEED, sites=sites, peers=PEERS, overload=False)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="many-sites-")))
        plan = directory / "plan.json"
        plan.write_text(json.dumps(plan_of(snapshot, write_certificate(directory))), encoding="utf-8")
        collectors, collecting = stack.enter_context(fakes("collectors", plan, set(others) or {core}))
        servers, serving = stack.enter_context(fakes("api_servers", plan, set(others) or {core}))
        config = config_of(snapshot, mode, collectors, servers, directory)
        (directory / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        with controller(directory, core) as (url, pid):
            spent_s, scrapes = watch(url, pid, seconds)
            peak = peak_mb(pid)
        offset_s = time.time() - time.monotonic()
        lines = [json.loads(line) for line in (directory / "log").read_text(encoding="utf-8").splitlines()]
        log = [line | {"at_s": line["time"] - offset_s} for line in lines]
        return Seen(scrapes[0]["at_s"], scrapes[-1]["at_s"], spent_s, peak, scrapes, log, end(collecting), end(serving))


def rounds(seen: Seen) -> list[tuple[float, float]]:
    """Return when the first and the last collector was asked in each round of reads, of those that began meanwhile."""
    found: list[tuple[float, float]] = []
    asked_now: set[str] = set()
    for at_s, site, _ in sorted(seen.reads):
        if not found or site in asked_now:  # each round asks each collector once at most
            found.append((at_s, at_s))
            asked_now = set()
        asked_now.add(site)
        found[-1] = (found[-1][0], at_s)
    return [(first_s, last_s) for first_s, last_s in found if seen.began_s <= first_s <= seen.ended_s]


def figures(seen: Seen) -> dict[str, Any]:
    """Return what is shown of a run."""
    took_place = rounds(seen)
    starts = [began_s for began_s, _ in took_place]
    if not starts:
        raise SystemExit("no collector was asked while it was measured: the controller stands still")
    # The planned moments are a period apart; which ones they are, the earliest beginning shows.
    phases = [(start - starts[0] + PERIOD_S / 2) % PERIOD_S for start in starts]
    late_ms = sorted(1000.0 * (phase - min(phases)) for phase in phases)
    log = [line for line in seen.log if seen.began_s <= line["at_s"] <= seen.ended_s]
    ticks = [line for line in log if line["event"] == "tick"]
    decided_ms = [
        1000.0 * (line["at_s"] - max((start for start in starts if start <= line["at_s"]), default=line["at_s"]))
        for line in ticks
    ]
    ages_ms = sorted(
        1000.0 * value
        for scraped in seen.scrapes
        for series, value in scraped.items()
        if series.startswith("spillover_sample_age_seconds") and value == value  # noqa: PLR0124  NaN is missing
    )
    calls = [method for at_s, _, method in seen.calls if seen.began_s <= at_s <= seen.ended_s]
    span_s = seen.ended_s - seen.began_s
    return {
        "cpu": fmean(seen.cpu_s),
        "cpu_worst": max(seen.cpu_s),
        "peak_mb": seen.peak_mb,
        "ticks": len(ticks),
        "skipped": max(0, round((ticks[-1]["at_s"] - ticks[0]["at_s"]) / PERIOD_S) + 1 - len(ticks)),
        "late_ms": at_share(late_ms, 0.99),
        "reading_ms": median(1000.0 * (last_s - first_s) for first_s, last_s in took_place),
        "decided_ms": median(decided_ms),
        "decided_worst_ms": max(decided_ms),
        "age_ms": median(ages_ms),
        "age_worst_ms": ages_ms[-1],
        "gets_per_s": calls.count("GET") / span_s,
        "writes_per_s": calls.count("PATCH") / span_s,
        "missing": sum(demand is None for line in ticks for demand in line["demand_rpm"].values()),
        "failed_reads": sum(line["event"] == "sample_missing" for line in log),
        "failed_writes": sum(line["event"] == "write_failed" for line in log),
        "not_leading": sum(not line["leading"] for line in ticks),
    }


def at_share(ordered: list[float], share: float) -> float:
    """Return the value below which this share of the ordered ones is."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def verdict(sites: int, row: dict[str, Any]) -> str:
    """Return whether the bounds were kept: what three sites may cost, and that any number fits on the core."""
    fits = row["cpu"] < 1.0 and not row["skipped"] and not row["missing"]
    small = row["cpu"] <= BOUND_CORES and row["peak_mb"] <= BOUND_MB
    return "met" if fits and (small or sites > BOUND_SITES) else "**missed**"


def table(rows: list[tuple[str, int, dict[str, Any]]], seconds: int, busy: float) -> str:
    """Return the results as Markdown; ``busy`` is the load average before."""
    about = (
        f"{machine()} It was {busy:.1f} at the start. Python {platform.python_version()}; {seconds} s after "
        f"{WARM_UP_S:.0f} s of warm-up."
    )
    names = (
        "mode", "sites", "core", "worst second", "peak MB", "rounds skipped of", "late p99 ms", "reads spread ms",
        "decided and written ms, worst", "age of samples ms, worst", "API reads a s", "writes a s", "missing samples",
        "failed reads, writes", "bounds",
    )  # fmt: skip
    lines = [about, "", "| " + " | ".join(names) + " |", "|---" + "|---:" * (len(names) - 1) + "|"]
    for mode, sites, row in rows:
        cells = (
            mode,
            sites,
            f"{row['cpu']:.1%}",
            f"{row['cpu_worst']:.1%}",
            f"{row['peak_mb']:.0f}",
            f"{row['skipped']} of {row['ticks'] + row['skipped']}",
            f"{row['late_ms']:.1f}",
            f"{row['reading_ms']:.0f}",
            f"{row['decided_ms']:.0f}, {row['decided_worst_ms']:.0f}",
            f"{row['age_ms']:.0f}, {row['age_worst_ms']:.0f}",
            f"{row['gets_per_s']:.0f}",
            f"{row['writes_per_s']:.1f}",
            row["missing"],
            f"{row['failed_reads']}, {row['failed_writes']}",
            verdict(sites, row),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every mode at every size and print, and perhaps write, the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, nargs="+", default=[200])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--mode", nargs="+", choices=("overflow", "weights"), default=["overflow"])
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what was started is ended
    rows, load_before = [], os.getloadavg()[0]
    for mode in options.mode:
        for sites in options.sites:
            row = figures(run(sites, mode, options.seconds))
            print(json.dumps({"mode": mode, "sites": sites} | row), flush=True)
            rows.append((mode, sites, row))
    text = table(rows, options.seconds, load_before)
    print(text)
    if options.write:
        replace_table(DOCUMENT, "many sites", text)


if __name__ == "__main__":
    try:
        main()
    except httpx.HTTPError as error:
        raise SystemExit(f"the controller does not answer any more: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
