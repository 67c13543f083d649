import csv
import json

import pytest

from loadtest.samples import COLUMNS, Sample, summarise, write_results

CONTRACT = (
    "request_id,origin,scheduled_at_s,start_time_s,start_s,serving_site,status,error,"
    "latency_ms,processing_ms,service_ms,lateness_ms"
)


def sample(request_id="0", **changes):
    values = {
        "request_id": request_id,
        "origin": "edge1",
        "scheduled_at_s": 1.0,
        "start_time_s": 1001.0004,
        "start_s": 1.0004,
        "serving_site": "edge2",
        "status": 200,
        "error": "",
        "latency_ms": 20.123456,
        "processing_ms": 12.5,
        "service_ms": None,
        "lateness_ms": 0.4,
    }
    return Sample(**values | changes)


def summary(samples, **changes):
    return summarise(
        samples, **{"planned": 1, "started_at_s": 1000.0, "workers": 2, "stopped_by": "duration", **changes}
    )


def test_the_columns_are_those_of_the_contract():
    assert ",".join(COLUMNS) == CONTRACT


def test_a_row_survives_the_message_to_the_master():
    assert Sample(*sample().row()) == sample()


def test_both_files_are_written_and_nothing_half_written_stays(tmp_path):
    path, summary_path = tmp_path / "cell" / "samples.csv", tmp_path / "cell" / "load-summary.json"
    write_results([sample(), sample("1", error="HTTP 503, busy", status=503)], summary([sample()]), path, summary_path)
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] for row in rows] == ["", "HTTP 503, busy"]
    assert rows[0]["latency_ms"] == "20.123"
    assert rows[0]["service_ms"] == ""
    assert rows[0]["start_time_s"] == "1001.0004"
    assert json.loads(summary_path.read_text(encoding="utf-8"))["requests"] == 1
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["load-summary.json", "samples.csv"]


def test_a_failed_write_leaves_the_earlier_files(tmp_path):
    path, summary_path = tmp_path / "samples.csv", tmp_path / "load-summary.json"
    write_results([sample()], summary([sample()]), path, summary_path)
    before = path.read_text(encoding="utf-8")

    def broken():
        yield sample("1")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_results(broken(), summary([]), path, summary_path)
    assert path.read_text(encoding="utf-8") == before


def test_the_summary_counts_errors_and_measures_lateness_of_planned_requests_only():
    samples = [sample(str(number), lateness_ms=float(number)) for number in range(100)]
    samples.append(sample("1.0.0", lateness_ms=5000.0, error="timeout", latency_ms=120_000.0, status=0))
    result = summary(samples, planned=100)
    assert (result.requests, result.planned, result.errors) == (101, 100, 1)
    assert result.lateness_p99_ms == pytest.approx(98.01)
    assert result.ended_at_s == pytest.approx(1001.0004 + 120)


def test_the_summary_of_no_request_ends_when_it_began():
    result = summary([])
    assert (result.requests, result.ended_at_s, result.lateness_p99_ms) == (0, 1000.0, None)
