import csv

import pytest

from analysis.samples import COLUMNS, read_samples
from spillover.model import SpilloverError

ANSWERED = {"request_id": "r0", "origin": "edge1", "scheduled_at_s": "1", "start_time_s": "1001", "start_s": "1",
            "serving_site": "edge1", "status": "200", "error": "", "latency_ms": "80", "processing_ms": "75",
            "service_ms": "70", "lateness_ms": "0.5"}  # fmt: skip
UNANSWERED = ANSWERED | {"serving_site": "", "status": "0", "processing_ms": "", "service_ms": ""}


def read(tmp_path, *rows):
    path = tmp_path / "samples.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(row | {"request_id": f"r{index}"} for index, row in enumerate(rows))
    return read_samples(path, lead_in_s=10, timeout_ms=120_000)


@pytest.mark.parametrize(
    "timed_out",
    [{"error": "timeout", "latency_ms": "120003"}, {"error": "Timed out", "latency_ms": "119990"},
     {"error": "", "latency_ms": "120000"}, {"error": "gone", "latency_ms": ""}],
)  # fmt: skip
def test_a_time_out_is_an_error_and_counts_at_its_length(tmp_path, timed_out):
    samples = read(tmp_path, UNANSWERED | timed_out)
    assert bool(samples["is_error"][0])
    assert bool(samples["is_timeout"][0])
    assert samples["response_ms"][0] == 120_000


def test_another_error_counts_with_the_time_that_was_measured(tmp_path):
    samples = read(
        tmp_path, UNANSWERED | {"error": "connection refused", "latency_ms": "3"}, ANSWERED | {"status": "503"}
    )
    assert list(samples["is_error"]) == [True, True]
    assert list(samples["is_timeout"]) == [False, False]
    assert list(samples["response_ms"]) == [3, 80]


def test_an_answer_is_no_error(tmp_path):
    assert not read(tmp_path, ANSWERED)["is_error"].any()


def test_the_step_begins_where_the_lead_in_ends(tmp_path):
    samples = read(tmp_path, ANSWERED | {"start_s": "10"}, ANSWERED | {"start_s": "9.999"})
    assert list(samples["start_s"]) == [9.999, 10]
    assert list(samples["in_step"]) == [False, True]


@pytest.mark.parametrize(
    ("field", "value"),
    [("latency_ms", "fast"), ("latency_ms", "-1"), ("latency_ms", ""), ("start_s", ""), ("start_s", "nan"),
     ("start_s", "inf"), ("status", "ok"), ("lateness_ms", ""), ("processing_ms", "-0.1"), ("origin", "")],
)  # fmt: skip
def test_a_field_that_makes_no_sense_is_named_with_its_row(tmp_path, field, value):
    with pytest.raises(SpilloverError, match=rf"row 3: {field} must"):
        read(tmp_path, ANSWERED, ANSWERED | {field: value})


def test_a_row_cut_short_is_refused(tmp_path):
    path = tmp_path / "samples.csv"
    read(tmp_path, ANSWERED, ANSWERED)
    path.write_text(path.read_text().rstrip()[:-12])
    with pytest.raises(SpilloverError, match="row 3"):
        read_samples(path, lead_in_s=0, timeout_ms=1)


@pytest.mark.parametrize("text", ["", "request_id,origin\nr0,edge1\n", ",".join(COLUMNS) + "\n", 'a,b\n"unclosed\n'])
def test_a_file_that_is_no_table_of_requests_is_refused(tmp_path, text):
    path = tmp_path / "samples.csv"
    path.write_text(text)
    with pytest.raises(SpilloverError, match=r"samples\.csv"):
        read_samples(path, lead_in_s=0, timeout_ms=1)


def test_a_request_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "samples.csv"
    read(tmp_path, ANSWERED, ANSWERED)
    path.write_text(path.read_text().replace("r1,", "r0,"))
    with pytest.raises(SpilloverError, match="'r0' is there twice"):
        read_samples(path, lead_in_s=0, timeout_ms=1)
