import json

import pytest

from loadtest.plan import LoadPlan, Step
from spillover.model import SpilloverError

STREAM = {"origin": "edge1", "url": "http://127.0.0.1:1", "steps": [{"from_s": 0, "rps": 1}]}
CLOSED = {"origin": "edge1", "url": "http://127.0.0.1:1", "arrivals": "closed", "users": 4}


def plan(**changes):
    return {"streams": [STREAM], "duration_s": 10, **changes}


def stream(base=STREAM, **changes):
    return plan(streams=[{key: value for key, value in {**base, **changes}.items() if value is not None}])


def test_a_file_becomes_a_plan_with_defaults(tmp_path):
    path = tmp_path / "load.json"
    path.write_text(json.dumps(plan()), encoding="utf-8")
    read = LoadPlan.from_file(path)
    assert (read.timeout_s, read.drain_s, read.max_requests) == (120, 130, 20_000)
    assert read.streams[0].arrivals == "poisson"
    assert read.streams[0].steps == (Step(from_s=0, rps=1),)


def test_a_plan_survives_the_message_to_a_worker():
    read = LoadPlan.from_dict(plan(streams=[STREAM, CLOSED]))
    assert LoadPlan.from_dict(json.loads(json.dumps(read.model_dump(mode="json")))) == read


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (plan(duration_s=0), "duration_s must be above 0, got 0"),
        (plan(duration_s=4000), "duration_s must be at most 3600, got 4000"),
        (plan(max_requests=0), "max_requests must be at least 1, got 0"),
        (plan(timeout_s=60, drain_s=30), r"drain_s must be at least timeout_s \(60\), got 30"),
        (plan(streams=[]), "streams "),
        (plan(colour="red"), "colour is not a known field"),
        (stream(arrivals="bursty"), "streams.0.arrivals must be 'poisson', 'even' or 'closed', got 'bursty'"),
        (stream(path="thumbnail"), "streams.0.path "),
        (stream(host="a b"), "streams.0.host "),
        (stream(seed=-1), "streams.0.seed must be at least 0, got -1"),
        (stream(steps=None), "streams.0: steps must be given where arrivals is poisson, got none"),
        (stream(users=3), "streams.0: users must not be given where arrivals is poisson, got 3"),
        (stream(CLOSED, users=None), "streams.0: users must be given where arrivals is closed, got none"),
        (
            stream(CLOSED, steps=[{"from_s": 0, "rps": 1}]),
            "streams.0: steps must not be given where arrivals is closed",
        ),
        (stream(steps=[{"from_s": 0, "rps": -1}]), "streams.0.steps.0.rps must be at least 0, got -1"),
        (stream(steps=[{"from_s": 0, "rps": float("nan")}]), "streams.0.steps.0.rps must be a finite number, got nan"),
        (
            stream(steps=[{"from_s": 5, "rps": 1}, {"from_s": 5, "rps": 2}]),
            "streams.0: steps must be in order of time, got from_s 5 after 5",
        ),
    ],
)
def test_what_is_wrong_is_named(data, sentence):
    with pytest.raises(SpilloverError, match=rf"^load plan: {sentence}"):
        LoadPlan.from_dict(data)


def test_a_file_that_is_missing_or_not_json_is_named(tmp_path):
    with pytest.raises(SpilloverError, match=r"none\.json cannot be read: No such file"):
        LoadPlan.from_file(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(SpilloverError, match=r"bad\.json is not JSON"):
        LoadPlan.from_file(tmp_path / "bad.json")
