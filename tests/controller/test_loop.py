from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from controller_fakes import ORIGINS, World, broken, raw_config
from numpy.linalg import LinAlgError

from spillover.clusters import Unauthorized, Unreachable
from spillover.controller.config import parse_config
from spillover.controller.service import routes
from spillover.sources.demand import CounterSample

if TYPE_CHECKING:
    from pathlib import Path

HOME = {"edge1": {"edge1": 100, "edge2": 0, "cloud": 0}, "edge2": {"edge1": 0, "edge2": 100, "cloud": 0}}
DOUBLE = {"edge1": 50, "edge2": 17, "cloud": 33}
"""20 rps at a limit of 10, the rest divided 1:2."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.at(tmp_path)


@pytest.fixture
def spilling(world: World) -> World:
    world.sites["edge1"].rate_rps = 20.0
    world.steps(3)
    assert world.sites["edge1"].weights == DOUBLE
    return world


def test_demand_below_the_limit_writes_nothing(world: World) -> None:
    world.steps(5)
    assert world.all_writes == 0
    assert world.last_tick["weights"]["edge1"] == HOME["edge1"]
    assert world.last_tick["demand_rpm"] == {"edge1": 300.0, "edge2": 300.0, "cloud": 300.0}


def test_demand_above_the_limit_is_spilled_within_two_periods(world: World) -> None:
    world.steps(3)
    world.sites["edge1"].rate_rps = 20.0
    world.step()
    assert world.sites["edge1"].weights == DOUBLE
    assert world.last_tick["written"] == ["edge1"]
    assert "RPM 1200 is not below RPM_max 600" in world.last_tick["reasons"]["edge1"]


def test_weights_that_do_not_change_are_not_written(spilling: World) -> None:
    before = spilling.all_writes
    spilling.steps(10)
    assert spilling.all_writes == before
    assert spilling.last_tick["written"] == []


def test_only_the_origin_that_changed_is_written(spilling: World) -> None:
    assert spilling.sites["edge1"].writes == 1
    assert spilling.sites["edge2"].writes == 0


def test_log_lines_carry_exactly_the_promised_fields(spilling: World) -> None:
    write = next(line for line in spilling.lines if line["event"] == "weights_written")
    assert set(write) == {"event", "time", "origin", "before", "after", "write_ms"}
    assert (write["origin"], write["before"], write["after"]) == ("edge1", HOME["edge1"], DOUBLE)
    assert set(spilling.last_tick) == {
        "event",
        "time",
        "demand_rpm",
        "in_flight",
        "weights",
        "written",
        "reasons",
        "leading",
        "gap",
        "saturated",
        "problems",
    }
    json.dumps(spilling.lines, allow_nan=False)


def test_first_period_after_a_start_holds_what_is_in_force(world: World) -> None:
    world.sites["edge1"].edit({"edge1": 30, "edge2": 30, "cloud": 40})
    world.step()
    assert world.sites["edge1"].weights == {"edge1": 30, "edge2": 30, "cloud": 40}
    assert world.last_tick["demand_rpm"]["edge1"] is None
    assert world.last_tick["reasons"]["edge1"].startswith("held: only one sample")


def test_restart_with_the_same_demand_writes_nothing(spilling: World) -> None:
    before = spilling.all_writes
    spilling.start()
    spilling.steps(5)
    assert spilling.all_writes == before
    assert spilling.sites["edge1"].weights == DOUBLE


def test_persons_edit_is_put_right_in_the_next_period(spilling: World) -> None:
    spilling.sites["edge1"].edit({"edge1": 100, "edge2": 0, "cloud": 0})
    spilling.step()
    assert spilling.sites["edge1"].weights == DOUBLE


def test_missing_metrics_hold_the_last_decision(spilling: World) -> None:
    spilling.sites["edge1"].sample_error = broken()
    spilling.steps(30)
    assert spilling.sites["edge1"].weights == DOUBLE
    assert spilling.sites["edge1"].writes == 1
    assert spilling.last_tick["demand_rpm"]["edge1"] is None
    assert spilling.last_tick["demand_rpm"]["edge2"] == 300.0


def test_edit_is_put_right_while_metrics_are_missing(spilling: World) -> None:
    spilling.sites["edge1"].sample_error = broken()
    spilling.steps(6)
    spilling.sites["edge1"].edit({"edge1": 0, "edge2": 0, "cloud": 100})
    spilling.step()
    assert spilling.sites["edge1"].weights == DOUBLE


def test_missing_samples_are_logged_once_a_row(spilling: World) -> None:
    spilling.sites["edge1"].sample_error = broken()
    spilling.steps(5)
    spilling.sites["edge1"].sample_error = None
    spilling.steps(2)
    events = [line["event"] for line in spilling.lines if line["event"].startswith("sample_")]
    assert events == ["sample_missing", "sample_back"]


def test_hung_collector_delays_no_other_site(spilling: World) -> None:
    spilling.reads.hung = {"edge2"}
    spilling.sites["edge1"].rate_rps = 40.0
    spilling.step()
    assert spilling.sites["edge1"].weights["edge1"] == 25


def test_failing_api_server_delays_no_other_site(spilling: World) -> None:
    spilling.sites["edge1"].api_error = Unreachable("the API server at edge1 failed with 500")
    spilling.sites["edge1"].rate_rps = 5.0
    spilling.sites["edge2"].rate_rps = 20.0
    spilling.step()
    assert spilling.sites["edge2"].weights["edge2"] == 50
    assert "not written: the API server at edge1 failed" in spilling.last_tick["reasons"]["edge1"]
    spilling.sites["edge1"].api_error = None
    spilling.steps(2)
    assert spilling.sites["edge1"].weights == HOME["edge1"]


def test_failing_api_server_is_asked_ever_less_often(spilling: World) -> None:
    spilling.sites["edge1"].api_error = Unauthorized("the API server does not accept the credentials")
    before = spilling.sites["edge1"].reads
    spilling.steps(60)
    assert spilling.sites["edge1"].reads - before <= 12
    assert spilling.sites["edge2"].reads >= 60


def test_failed_write_is_tried_again_before_a_long_period_ends(tmp_path: Path) -> None:
    world = World.at(tmp_path, window_s=60, period_s=60)
    site = world.sites["edge1"]
    site.rate_rps = 20.0
    for _ in range(60):
        world.pass_time(1.0)
        world.controller.sample()
    site.api_error = Unreachable("the API server did not answer within 2 s")
    world.controller.tick()
    assert site.weights == HOME["edge1"]
    site.api_error = None
    world.pass_time(1.0)
    world.controller.retry()
    assert site.weights == DOUBLE


def test_write_whose_answer_was_lost_is_not_repeated(world: World) -> None:
    world.steps(3)
    world.sites["edge1"].lost_answers = 1
    world.sites["edge1"].rate_rps = 20.0
    world.steps(5)
    assert world.sites["edge1"].writes == 1
    assert world.sites["edge1"].weights == DOUBLE


def test_conflict_is_read_again_in_the_same_period(world: World) -> None:
    world.steps(3)
    world.sites["edge1"].conflicts = 2
    world.sites["edge1"].rate_rps = 20.0
    world.step()
    assert world.sites["edge1"].weights == DOUBLE


def test_site_whose_collector_and_api_are_silent_gets_nothing(spilling: World) -> None:
    spilling.sites["edge2"].sample_error = broken()
    spilling.sites["edge2"].api_error = Unreachable("the API server at edge2 cannot be reached: refused")
    spilling.steps(4)
    assert spilling.sites["edge1"].weights == {"edge1": 50, "edge2": 0, "cloud": 50}
    spilling.sites["edge2"].sample_error = None
    spilling.steps(2)
    assert spilling.sites["edge1"].weights == DOUBLE


def test_silent_collector_alone_does_not_make_a_site_dead(spilling: World) -> None:
    spilling.sites["edge2"].sample_error = broken()
    spilling.steps(10)
    assert spilling.sites["edge1"].weights == DOUBLE


def test_collector_restart_gives_no_spike(spilling: World) -> None:
    spilling.sites["edge1"].rate_rps = 5.0
    spilling.steps(2)
    spilling.sites["edge1"].restart_collector()
    before = spilling.all_writes
    spilling.steps(4)
    assert spilling.all_writes == before


def test_step_of_the_wall_clock_changes_nothing(spilling: World) -> None:
    before = spilling.all_writes
    spilling.wall_s += 3600
    spilling.step()
    spilling.wall_s -= 7200
    spilling.step()
    assert spilling.all_writes == before
    assert spilling.last_tick["demand_rpm"]["edge1"] == 1200.0


def test_minute_window_averages_over_the_minute(tmp_path: Path) -> None:
    world = World.at(tmp_path, window_s=60, period_s=60)
    for second in range(120):
        world.sites["edge1"].rate_rps = 40.0 if second >= 90 else 0.0
        world.pass_time(1.0)
        world.controller.sample()
    world.controller.tick()
    assert world.last_tick["demand_rpm"]["edge1"] == 1200.0


def test_ready_only_after_every_site_was_read_and_a_decision(world: World) -> None:
    world.sites["cloud"].sample_error = broken()
    assert "not read yet" in world.controller.not_ready
    world.step()
    assert world.controller.not_ready == "not read yet: cloud"
    world.sites["cloud"].sample_error = None
    world.step()
    assert world.controller.not_ready == ""


def test_loop_that_stands_still_is_not_alive(world: World) -> None:
    world.step()
    world.clock.now_s += 2.9
    assert world.controller.alive
    world.clock.now_s += 0.2
    assert not world.controller.alive


def test_local_policy_brings_everything_home(tmp_path: Path) -> None:
    world = World(parse_config(raw_config(tmp_path, policy="local")))
    world.sites["edge1"].edit(DOUBLE)
    world.sites["edge1"].rate_rps = 40.0
    world.steps(3)
    assert {name: world.sites[name].weights for name in ORIGINS} == HOME


def test_run_keeps_time_and_ends_its_step_when_told(tmp_path: Path) -> None:
    world = World.at(tmp_path, window_s=1, period_s=3)
    waits: list[float] = []

    class FakeStop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            world.pass_time(timeout or 0.0)
            if len(waits) == 7:
                self.set()
            return self.is_set()

    world.controller.run(FakeStop())
    ticks = [line["time"] - 1_790_000_000.0 for line in world.lines if line["event"] == "tick"]
    assert ticks == pytest.approx([0.0, 3.0, 6.0])
    assert waits == pytest.approx([1.0] * 7)


def test_late_loop_skips_what_it_missed(tmp_path: Path) -> None:
    world = World.at(tmp_path)
    waits: list[float] = []

    class FakeStop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            world.pass_time(3.4 if len(waits) == 1 else timeout or 0.0)
            if len(waits) == 3:
                self.set()
            return self.is_set()

    world.controller.run(FakeStop())
    assert waits == pytest.approx([1.0, 0.6, 1.0])


def test_distance_from_the_optimum_is_told_while_every_demand_is_known(spilling: World) -> None:
    # 10 of 20 rps stay at a site that serves 10: the paper's rule fills it to its saturation.
    assert spilling.last_tick["gap"] is None
    assert spilling.controller.status is not None
    assert (spilling.controller.status["mean_ms"], spilling.controller.status["best_ms"] > 100) == (None, True)
    spilling.sites["edge1"].rate_rps = 5.0
    spilling.steps(2)
    status = spilling.controller.status
    assert status is not None
    assert status["gap"] == spilling.last_tick["gap"] == pytest.approx(status["mean_ms"] / status["best_ms"] - 1.0)
    assert 0.0 <= status["gap"] < 1.0
    assert spilling.metrics.registry.get_sample_value("spillover_gap_ratio") == status["gap"]
    spilling.sites["cloud"].sample_error = broken()
    spilling.steps(5)
    assert spilling.last_tick["gap"] is None
    assert math.isnan(spilling.metrics.registry.get_sample_value("spillover_gap_ratio") or 0.0)


def test_distance_that_cannot_be_computed_ends_no_loop(spilling: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LinAlgError("singular matrix")

    monkeypatch.setattr("spillover.controller.loop.distance", fail)
    spilling.step()
    assert spilling.last_tick["gap"] is None
    assert spilling.sites["edge1"].weights == DOUBLE


def test_status_says_what_is_known_and_wanted_by_site(world: World) -> None:
    assert world.controller.status is None
    world.sites["edge2"].sample_error = broken()
    world.steps(3)
    status = world.controller.status
    assert status is not None
    json.dumps(status, allow_nan=False)
    assert (status["policy"], status["mode"], status["leading"]) == ("paper", "weights", True)
    assert status["sites"]["edge1"] == {
        "source": "collector",
        "demand_rps": 5.0,
        "sample_age_s": 0.0,
        "missing": "",
        "healthy": True,
        "in_flight": None,
        "gateways": 1,
        "replicas": None,
        "weights": HOME["edge1"],
        "reason": world.last_tick["reasons"]["edge1"],
        "overflow_supported": {"status": "Unknown", "message": ""},
        "propagated": {"status": "Unknown", "message": ""},
    }
    assert status["sites"]["edge2"]["missing"] == "no sample has arrived yet"
    assert status["sites"]["edge2"]["weights"] is None


def test_slow_source_is_no_missing_one_between_two_of_its_samples(tmp_path: Path) -> None:
    raw = raw_config(tmp_path)
    del raw["sites"]["edge1"]["collector_url"]
    raw["sites"]["edge1"]["prometheus"] = {"url": "http://prometheus", "preset": "envoy", "interval_s": 15}
    world = World(parse_config(raw))
    site = world.sites["edge1"]
    site.rate_rps = 20.0
    scraped = CounterSample(0.0, 0.0)

    def scrape() -> CounterSample:
        nonlocal scraped
        if site.sampled_at_s - scraped.sampled_at_s >= 15 and site.sample_error is None:
            scraped = CounterSample(site.requests_total, site.sampled_at_s)
        return replace(scraped, age_s=site.sampled_at_s - scraped.sampled_at_s)

    site.read_demand = scrape  # type: ignore[method-assign]
    world.start()
    world.steps(16)
    assert site.weights == DOUBLE
    before = len(world.lines)
    world.steps(60)
    ticks = [line for line in world.lines[before:] if line["event"] == "tick"]
    assert {tick["demand_rpm"]["edge1"] for tick in ticks} == {1200.0}
    assert (site.writes, world.last_tick["weights"]["edge1"]) == (1, DOUBLE)
    site.sample_error = broken()  # the scrapes, not the reads
    world.steps(46)
    assert world.last_tick["demand_rpm"]["edge1"] is None
    assert "its sample is missing, the last split is held" in world.last_tick["reasons"]["edge1"]
    assert site.weights == DOUBLE


def test_status_is_answered_once_there_is_a_decision(world: World) -> None:
    status = routes(world.controller, world.metrics.registry)["/status"]
    assert (status().status, json.loads(status().body)) == (503, {"error": "no decision yet"})
    world.step()
    assert (status().status, json.loads(status().body)) == (200, world.controller.status)


CLASSES = [{"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}}, {"name": "rest"}]


def test_what_exceeds_all_sites_is_shed_from_the_least_important_class_and_told(tmp_path: Path) -> None:
    world = World.at(tmp_path, policy="cooperative", classes=CLASSES)
    world.sites["edge1"].rate_rps = 60.0
    world.sites["edge1"].shares = {"gold": 0.5, "rest": 0.5}
    world.steps(5)
    told = world.last_tick["classes"]["edge1"]
    assert {name: rates["demand_rps"] for name, rates in told.items()} == pytest.approx({"gold": 30.0, "rest": 30.0})
    assert told["gold"]["shed_rps"] == pytest.approx(0.0, abs=1e-3)
    assert told["rest"]["shed_rps"] > 10.0
    assert (
        f"({told['rest']['shed_rps']:.1f} of rest), every reachable site is full" in world.last_tick["reasons"]["edge1"]
    )
    assert world.controller.status is not None
    assert world.controller.status["sites"]["edge1"]["classes"] == told
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in world.metrics.registry.collect()
        for sample in family.samples
    }
    assert values["spillover_demand_by_class_rps", "edge1", "gold"] == pytest.approx(30.0)
    assert values["spillover_shed_by_class_rps", "edge1", "rest"] == told["rest"]["shed_rps"]


def test_rates_of_the_classes_are_missing_where_the_demand_is(tmp_path: Path) -> None:
    world = World.at(tmp_path, policy="cooperative", classes=CLASSES)
    world.sites["edge1"].shares = {"gold": 0.5, "rest": 0.5}
    world.steps(3)
    world.sites["edge1"].sample_error = broken()
    world.steps(5)
    told = world.last_tick["classes"]
    assert [rates["demand_rps"] for rates in told["edge1"].values()] == [None, None]
    assert [rates["demand_rps"] for rates in told["edge2"].values()] == pytest.approx([0.0, 5.0])
