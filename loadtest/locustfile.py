"""Joins the load generator to Locust: its options, its workers, its statistics, its end."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

# Locust first: it patches the standard library, and what is imported before it keeps unpatched parts.
from locust import LoadTestShape, events, runners, task
from locust.contrib.fasthttp import FastHttpUser
from locust.runners import MasterRunner, WorkerRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Locust loads this file by its path, not as a module

from gevent.event import Event

from loadtest.coordinator import Coordinator, State
from loadtest.generator import Share
from loadtest.plan import LONGEST_TIMEOUT_S, MOST_REQUESTS, LoadPlan
from loadtest.samples import write_results
from loadtest.targets import allowed_url
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment
    from locust.runners import Runner

LOCAL_NODE = "local"
"""Locust's name for the only node of a run without workers."""

# Locust gives a worker up after 3 s of silence, which a busy machine can cause, and has no option for it.
runners.HEARTBEAT_LIVENESS = 20


class Generator(FastHttpUser):
    """One a worker; it sends the worker's whole share through one pool of connections."""

    host = "http://127.0.0.1"  # never called: every request names its stream's address
    # Each request in flight holds a connection; a smaller pool would make them wait for each other, unseen.
    concurrency = MOST_REQUESTS
    # Each request has its plan's own timeout; these must only be longer.
    network_timeout = LONGEST_TIMEOUT_S + 1.0
    connection_timeout = LONGEST_TIMEOUT_S + 1.0
    max_redirects = 0  # a redirect may lead out of the lab
    share: ClassVar[Share]

    @task
    def send_share(self) -> None:
        """Send, report, and wait to be stopped."""
        if self.share.work(self.client) and isinstance(self.environment.runner, WorkerRunner):
            self.environment.process_exit_code = 0  # Locust would call a run with failed requests a failure
        Event().wait()


class UntilComplete(LoadTestShape):
    """One user on every worker, until the coordinator has all rows or cannot get them."""

    abstract = True  # `prepare` makes the one instance; Locust shall not make another

    def __init__(self, coordinator: Coordinator, runner: Runner, workers: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._locust = runner
        self._coordinator = coordinator
        self._workers = workers

    def tick(self) -> tuple[int, float] | None:
        """Once a second: go on, or end the run."""
        self._coordinator.tick(_alive(self._locust))
        if self._coordinator.state in {State.WAITING, State.RUNNING}:
            return self._workers, float(self._workers)
        return None


def _alive(runner: Runner) -> set[str]:
    if not isinstance(runner, MasterRunner):
        return {LOCAL_NODE}
    return {node.id for node in runner.clients.all if node.heartbeat >= 0}


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: LocustArgumentParser) -> None:
    """Declare what `locust` does not know."""
    options = parser.add_argument_group("Spillover")
    options.add_argument("--load-config", metavar="FILE", help="load.json: what to send (not for workers)")
    options.add_argument("--samples", metavar="FILE", default="samples.csv", help="where the rows go, one a request")
    options.add_argument("--summary", metavar="FILE", help="default: load-summary.json beside the samples")


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, runner: Runner, **_: Any) -> None:
    """Give this process its side of the run: the coordinator's, a worker's, or both when there is but one process."""
    environment.process_exit_code = 1  # until all rows are in
    if not isinstance(runner, MasterRunner):
        Generator.share = share = Share(runner.send_message)
        runner.register_message("load_order", lambda msg, **_: share.on_order(msg.data))
    if isinstance(runner, WorkerRunner):
        return
    options: Any = environment.parsed_options
    try:
        plan = _plan(options.load_config)
    except SpilloverError as error:
        sys.exit(_complain(str(error), 2))
    workers = options.expect_workers if isinstance(runner, MasterRunner) else 1
    coordinator = Coordinator(
        plan, workers, lambda node, order: runner.send_message("load_order", order, client_id=node), time.time
    )
    runner.register_message("load_ready", lambda msg, **_: coordinator.on_ready(msg.node_id))
    runner.register_message("load_samples", lambda msg, **_: coordinator.on_samples(msg.node_id, msg.data["rows"]))
    runner.register_message("load_done", lambda msg, **_: coordinator.on_done(msg.node_id, **msg.data))
    environment.shape_class = UntilComplete(coordinator, runner, workers)
    samples = Path(options.samples)
    summary = Path(options.summary) if options.summary else samples.with_name("load-summary.json")

    @environment.events.quitting.add_listener  # type: ignore[untyped-decorator]
    def finish(environment: Environment, **_: Any) -> None:
        _finish(environment, coordinator, samples, summary)


def _plan(load_config: str | None) -> LoadPlan:
    if not load_config:
        raise SpilloverError("--load-config is missing: it names load.json, which says what to send")
    plan = LoadPlan.from_file(Path(load_config))
    for stream in plan.streams:
        allowed_url(stream.url)
    return plan


def _finish(environment: Environment, coordinator: Coordinator, samples_path: Path, summary_path: Path) -> None:
    """Write the results of a complete run; whatever else ends the process, this says what is missing."""
    if coordinator.state is not State.COMPLETE:
        _complain(coordinator.failure or "the run was ended before all rows were in, and nothing was written", 1)
        return
    samples, summary = coordinator.results()
    try:
        write_results(samples, summary, samples_path, summary_path)
    except OSError as error:
        _complain(f"the results cannot be written to {samples_path}: {error.strerror}", 1)
    else:
        environment.process_exit_code = 0


def _complain(sentence: str, status: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status
