import pytest

from loadtest.plan import LoadPlan
from loadtest.samples import Sample, summarise, write_results
from loadtest.schedule import arrival_times
from spillover.experiment import Calibration, Experiment, expand
from spillover.experiment_load import calibration_load, cell_load, measured_capacity_rps, rpm_max
from spillover.model import SpilloverError
from spillover.validation import parse

URLS = {"edge1": "http://198.19.0.11:30080", "edge2": "http://198.19.0.12:30080", "cloud": "http://198.19.0.13:30080"}
CAPACITY = {"edge1": 15.0, "edge2": 14.0, "cloud": 30.0}


def experiment(load_factor=1, **load):
    streams = [{"origin": "edge1", "factor": 2}, {"origin": "edge2", "arrivals": "even", "factor": 0.3}]
    data = {
        "name": "trial",
        "question": "Does it work?",
        "sites": {"edge1": {}, "edge2": {}, "cloud": {"servers": 2}},
        "load": {"path": "/thumbnail", "host": "edgeapp.example", "streams": streams, "lead_in_s": 10, **load},
        "variants": [
            {"name": "paper-1s", "policy": "paper", "duration_s": 60, "rpm_max_factor": 0.8, "load_factor": load_factor}
        ],
        "seeds": [7],
    }
    return parse(Experiment, data, source="trial.yml")


def load_of(read):
    return LoadPlan.from_dict(cell_load(read, expand(read)[0], CAPACITY, URLS))


def test_the_load_is_a_plan_that_the_generator_accepts():
    plan = load_of(experiment())
    assert (plan.duration_s, plan.timeout_s, plan.drain_s, plan.max_requests) == (70, 120, 130, 20_000)
    first, second = plan.streams
    assert (first.origin, first.url, first.path, first.host) == (
        "edge1",
        URLS["edge1"],
        "/thumbnail",
        "edgeapp.example",
    )
    assert (first.arrivals, second.arrivals) == ("poisson", "even")


def test_rates_are_multiples_of_the_measured_capacity():
    first, second = load_of(experiment()).streams
    assert [(step.from_s, step.rps) for step in first.steps] == [(0, 7.5), (10, 30)]
    assert [(step.from_s, step.rps) for step in second.steps] == [(0, 7), (10, pytest.approx(4.2))]


def test_a_variant_may_have_a_part_of_the_load():
    first, second = load_of(experiment(load_factor=0.5)).streams
    assert [(step.from_s, step.rps) for step in first.steps] == [(0, 3.75), (10, 15)]
    assert [(step.from_s, step.rps) for step in second.steps] == [(0, 3.5), (10, pytest.approx(2.1))]


def test_without_a_lead_in_the_step_begins_at_once():
    assert [(step.from_s, step.rps) for step in load_of(experiment(lead_in_s=0)).streams[0].steps] == [(0, 30)]


def test_the_origins_of_a_cell_do_not_share_their_arrivals():
    streams = [{"origin": "edge1", "factor": 1}, {"origin": "edge2", "factor": 1}]
    first, second = load_of(experiment(streams=streams)).streams
    assert first.seed != second.seed
    assert arrival_times(first, 70, 10)[0] != arrival_times(second, 70, 10)[0]


def test_a_load_above_the_hard_stop_is_refused_and_not_cut():
    with pytest.raises(
        SpilloverError, match=r"^load\.max_requests must be at least \d+ for cell 01-paper-1s-rpm80-seed7"
    ):
        load_of(experiment(max_requests=2000))
    load_of(experiment(max_requests=2600))


@pytest.mark.parametrize(
    ("capacity", "urls", "sentence"),
    [
        ({"edge2": 1.0}, URLS, "capacity of edge1 is missing: got it for edge2"),
        (CAPACITY, {}, "url of edge1 is missing: got it for no site"),
    ],
)
def test_a_missing_capacity_or_address_is_named(capacity, urls, sentence):
    read = experiment()
    with pytest.raises(SpilloverError, match=f"^{sentence}$"):
        cell_load(read, expand(read)[0], capacity, urls)


def test_rpm_max_is_the_variants_part_of_the_capacity():
    assert rpm_max(expand(experiment())[0], CAPACITY) == {"edge1": 720, "edge2": 672, "cloud": 1440}


def test_a_calibration_keeps_every_server_of_its_site_busy():
    plan = LoadPlan.from_dict(calibration_load(experiment(), "cloud", URLS))
    (stream,) = plan.streams
    assert (stream.origin, stream.arrivals, stream.users, stream.url) == ("cloud", "closed", 8, URLS["cloud"])
    assert plan.duration_s == 20
    with pytest.raises(SpilloverError, match="site must be one of edge1, edge2, cloud, got 'edge9'"):
        calibration_load(experiment(), "edge9", URLS)


def sample(number, end_s, error=""):
    start_s = end_s - 0.2
    return Sample(
        f"0.0.{number}", "edge1", start_s, 1000 + start_s, start_s, "edge1", 200, error, 200.0, 190.0, 60.0, 0.0
    )


def written(tmp_path, samples):
    path = tmp_path / "samples.csv"
    summary = summarise(samples, planned=0, started_at_s=1000.0, workers=1, stopped_by="duration")
    write_results(samples, summary, path, tmp_path / "load-summary.json")
    return path


def test_the_capacity_is_the_rate_of_answers_while_the_site_is_busy(tmp_path):
    samples = [sample(number, 0.25 + number / 12) for number in range(400)]  # 12 a second, beyond the end too
    rate = measured_capacity_rps(written(tmp_path, samples), Calibration(duration_s=24, skip_s=4))
    assert rate == pytest.approx(12)


def test_a_calibration_with_a_failed_request_is_no_measurement(tmp_path):
    path = written(tmp_path, [sample(0, 5.0), sample(1, 6.0, "HTTP 503")])
    with pytest.raises(SpilloverError, match=r"request 0\.0\.1 failed: HTTP 503"):
        measured_capacity_rps(path, Calibration())


def test_a_calibration_without_answers_or_without_columns_is_no_measurement(tmp_path):
    with pytest.raises(SpilloverError, match="no request was answered after 4 s"):
        measured_capacity_rps(written(tmp_path, [sample(0, 1.0)]), Calibration())
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(SpilloverError, match="is not a table of samples"):
        measured_capacity_rps(other, Calibration())
    with pytest.raises(SpilloverError, match=r"none\.csv cannot be read: No such file"):
        measured_capacity_rps(tmp_path / "none.csv", Calibration())
