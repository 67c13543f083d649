import pytest

from loadtest.coordinator import READY_TIMEOUT_S, REPORT_TIMEOUT_S, START_DELAY_S, Coordinator, State
from loadtest.plan import LoadPlan
from loadtest.samples import Sample

PLAN = LoadPlan.from_dict(
    {
        "streams": [
            {
                "origin": "edge1",
                "url": "http://127.0.0.1:1",
                "arrivals": "even",
                "steps": [{"from_s": 0, "rps": 1}],
            }
        ],
        "duration_s": 4,
        "timeout_s": 5,
        "drain_s": 6,
    }
)


class Bench:
    """A coordinator with a clock and a network that the test holds."""

    def __init__(self, workers=2, plan=PLAN):
        self.now_s = 1000.0
        self.orders = {}
        self.coordinator = Coordinator(plan, workers, self.orders.__setitem__, lambda: self.now_s)

    def begin(self, *nodes):
        for node in nodes:
            self.coordinator.on_ready(node)
        return self

    def report(self, node, numbers, **done):
        rows = [row(number) for number in numbers]
        self.coordinator.on_samples(node, rows)
        self.coordinator.on_done(node, **{"sent": len(rows), "stopped_by": "duration", "failure": "", **done})


def row(number):
    at_s = number + 0.5
    return Sample(str(number), "edge1", at_s, 1002 + at_s, at_s, "edge1", 200, "", 5.0, 4.0, 3.0, 0.1).row()


def test_the_start_is_agreed_when_the_last_worker_is_ready():
    bench = Bench().begin("b")
    assert bench.orders == {}
    bench.now_s = 1007.0
    bench.begin("a")
    assert {node: (order["worker"], order["workers"]) for node, order in bench.orders.items()} == {
        "a": (0, 2),
        "b": (1, 2),
    }
    assert {order["start_at_s"] for order in bench.orders.values()} == {1007.0 + START_DELAY_S}
    assert LoadPlan.from_dict(bench.orders["a"]["plan"]) == PLAN


def test_the_run_is_complete_when_every_worker_has_reported_all_its_rows():
    bench = Bench().begin("a", "b")
    bench.report("a", [0, 2])
    assert bench.coordinator.state is State.RUNNING
    bench.report("b", [1, 3])
    assert bench.coordinator.state is State.COMPLETE
    samples, summary = bench.coordinator.results()
    assert [sample.request_id for sample in samples] == ["0", "1", "2", "3"]
    assert (summary.requests, summary.planned, summary.workers, summary.stopped_by) == (4, 4, 2, "duration")
    assert summary.started_at_s == 1000.0 + START_DELAY_S


@pytest.mark.parametrize(("first", "second"), [("max_requests", "duration"), ("hard_stop", "max_requests")])
def test_the_most_serious_reason_to_stop_is_reported(first, second):
    bench = Bench().begin("a", "b")
    bench.report("a", [0], stopped_by=second)
    bench.report("b", [1], stopped_by=first)
    assert bench.coordinator.results()[1].stopped_by == first


def test_a_plan_cut_by_the_limit_is_reported_as_such():
    bench = Bench(1, PLAN.model_copy(update={"max_requests": 2})).begin("a")
    bench.report("a", [0, 1])
    assert bench.coordinator.results()[1].stopped_by == "max_requests"


def test_lost_rows_fail_the_run():
    bench = Bench(1).begin("a")
    bench.report("a", [0, 1], sent=3)
    assert (bench.coordinator.state, bench.coordinator.failure) == (State.FAILED, "worker a sent 3 rows and 2 arrived")


def test_a_worker_that_cannot_go_on_fails_the_run_with_its_reason():
    bench = Bench(1).begin("a")
    bench.report("a", [], failure="load goes only to the lab")
    assert bench.coordinator.failure == "worker a stopped: load goes only to the lab"


def test_a_worker_that_goes_away_fails_the_run_unless_it_was_done():
    bench = Bench().begin("a", "b")
    bench.report("a", [0])
    bench.coordinator.tick({"b"})
    assert bench.coordinator.state is State.RUNNING
    bench.coordinator.tick(set())
    assert bench.coordinator.failure == "worker b went away before it had reported its requests"


def test_workers_that_do_not_become_ready_fail_the_run():
    bench = Bench().begin("a")
    bench.coordinator.tick({"a"})
    bench.now_s += READY_TIMEOUT_S + 1
    bench.coordinator.tick({"a"})
    assert bench.coordinator.failure == "only 1 of 2 workers were ready after 60 s"


def test_a_worker_that_never_ends_fails_the_run_after_the_hard_stop():
    bench = Bench(1).begin("a")
    bench.now_s += START_DELAY_S + PLAN.duration_s + PLAN.drain_s + REPORT_TIMEOUT_S - 0.1
    bench.coordinator.tick({"a"})
    assert bench.coordinator.state is State.RUNNING
    bench.now_s += 0.2
    bench.coordinator.tick({"a"})
    assert bench.coordinator.failure == "worker a did not report its requests within 20 s of the hard stop"


def test_a_stranger_changes_nothing():
    bench = Bench(1).begin("a")
    bench.report("stranger", [0])
    bench.begin("late")
    assert bench.coordinator.state is State.RUNNING
    assert set(bench.orders) == {"a"}
