from __future__ import annotations

import copy

import pytest

from spillover.model import SpilloverError
from spillover.simulator import scenario as scenarios

GOOD = {
    "duration_s": 60,
    "warmup_s": 10,
    "sites": {"edge1": {"capacity_rps": 12}, "edge2": {"capacity_rps": 12, "servers": 2, "discipline": "ps"}},
    "links": [{"from": "edge1", "to": "edge2", "rtt_ms": 10}],
    "arrivals": {"edge1": [{"from_s": 0, "rps": 6}, {"from_s": 30, "rps": 24}], "edge2": {"users": 3, "think_s": 1}},
    "control": {"window_s": 1, "period_s": 1, "delay_s": 0, "trigger": "both", "burst": 2, "timeout_s": 30},
    "events": [
        {"at_s": 5, "site": "edge2", "capacity_factor": 0.5},
        {"at_s": 6, "site": "edge1", "metrics": "stale"},
        {"at_s": 7, "controller": "stopped"},
    ],
}


def changed(path: str, value: object) -> dict:
    obj = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place = obj
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[int(last) if isinstance(place, list) else last] = value
    return obj


def test_a_whole_scenario_is_understood():
    scenario = scenarios.from_dict(GOOD)
    assert scenario.sites["edge2"].discipline == "ps"
    assert scenario.links[0].peer == "edge2"
    assert scenario.arrivals["edge1"][1].rps == 24
    assert scenario.events[2].controller == "stopped"


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("duration_s", -1, "scenario: duration_s must be above 0, got -1"),
        ("warmup_s", 60, "warmup_s must be below duration_s 60, got 60"),
        ("sites.edge1.capacity_rps", 0, "sites.edge1.capacity_rps must be above 0, got 0"),
        ("sites.edge1.capacity_rps", float("nan"), "sites.edge1.capacity_rps"),
        ("sites.edge1.capacity_rps", "12", "sites.edge1.capacity_rps must be a valid number, got '12'"),
        ("sites.edge1.servers", 0, "sites.edge1.servers"),
        ("sites.edge1.discipline", "lifo", "got 'lifo'"),
        ("sites.edge1.speed", 3, "sites.edge1.speed is not a known field, got 3"),
        (
            "sites.edge1.service",
            {"distribution": "exponential", "cv": 2.0},
            "sites.edge1.service: cv of the exponential",
        ),
        ("links.0.to", "edge9", "links.to must name a known site, got 'edge9'"),
        ("links.0.to", "edge1", "got one from 'edge1' to itself"),
        ("links.0.rtt_ms", -1, "links.0.rtt_ms"),
        ("arrivals.edge9", [{"from_s": 0, "rps": 1}], "arrivals must name a known site, got 'edge9'"),
        ("arrivals.edge1.1.from_s", 0, "from_s must rise from step to step, got [0.0, 0.0]"),
        ("arrivals.edge1.1.rps", -5, "arrivals.edge1.1.rps must be at least 0, got -5"),
        (
            "arrivals.edge1",
            {"mean_rps": 5, "amplitude": 3, "period_s": 9},
            "arrivals.edge1.amplitude must be at most 1",
        ),
        ("arrivals.edge1", [{"from_s": 0, "rps": 1e9}], "arrivals must be at most 20000000 requests"),
        ("arrivals.edge1", [], "arrivals.edge1 must have at least 1 item, got []"),
        ("arrivals.edge2", {"users": 3, "think_s": -1}, "arrivals.edge2.think_s must be at least 0, got -1"),
        ("arrivals.edge2", {"think_s": 1}, "arrivals.edge2.users must be given, got none"),
        ("control.trigger", "moon", "control.trigger"),
        ("control.window_s", 0, "control.window_s"),
        ("control.period_s", 1e-9, "control.period_s must be at least 6e-05, got 1e-09"),
        ("control.inflight_limit", {"edge9": 1}, "control.inflight_limit must name a known site, got 'edge9'"),
        ("events.0.site", "edge9", "events.site must name a known site, got 'edge9'"),
        ("events.0.metrics", "stale", "got capacity_factor and metrics"),
        ("events.2.site", "edge1", "site must be given for capacity_factor and metrics only"),
        ("events.1.demand_factor", 2.0, "demand_factor must be given for lying metrics only"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(path, value, sentence):
    with pytest.raises(SpilloverError) as caught:
        scenarios.from_dict(changed(path, value))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["duration_s", "sites", "arrivals"])
def test_what_is_missing_is_named(missing):
    with pytest.raises(SpilloverError, match=f"{missing} must be given, got none"):
        scenarios.from_dict({key: value for key, value in GOOD.items() if key != missing})


def test_a_file_that_is_no_scenario_is_refused_in_one_line(tmp_path):
    (tmp_path / "list.yml").write_text("- 1\n")
    (tmp_path / "broken.yml").write_text("a: [\n")
    for name, sentence in (
        ("list.yml", "must be a mapping"),
        ("broken.yml", "is not YAML"),
        ("none.yml", "cannot be read: No such file"),
    ):
        with pytest.raises(SpilloverError, match=sentence) as caught:
            scenarios.load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_excess_of_steps_and_waves_over_a_limit_is_integrated():
    steps = scenarios.from_dict(GOOD).arrivals["edge1"]
    assert scenarios.integrated_excess(steps, 12, 10, 60) == pytest.approx(12 * 30)
    assert scenarios.mean_rps(steps, 0, 60) == pytest.approx(15)
    wave = scenarios.Wave(mean_rps=10.0, amplitude=1.0, period_s=20.0)
    assert scenarios.integrated_excess(wave, 10, 0, 20) == pytest.approx(10 * 20 / 3.14159265, rel=1e-5)


def test_a_rate_is_constant_only_if_it_never_changes():
    assert scenarios.constant_rps((scenarios.Step(from_s=0.0, rps=3.0),)) == 3
    assert scenarios.constant_rps((scenarios.Step(from_s=1.0, rps=3.0),)) is None
    assert scenarios.constant_rps(scenarios.Wave(mean_rps=3.0, amplitude=0.1, period_s=9.0)) is None
    assert scenarios.constant_rps(scenarios.Users(users=3)) is None
