import numpy as np
import pytest
from run_builder import Plan, build_run, edit_rows

from analysis.load import load_run
from analysis.metrics import bootstrap_intervals, measure, merit, middle, middle_repeat


def one_cell(tmp_path, change):
    directory = build_run(tmp_path, (Plan("local-2s", duration_s=2, lead_in_s=1, rps=(2, 5)),))
    edit_rows(directory / "cells" / "01-local-2s-seed7" / "samples.csv", change)
    return load_run(directory).cells[0]


def with_latencies(*latencies_ms, site="edge1"):
    def change(rows):
        for row, latency_ms in zip(rows[2:], latencies_ms, strict=True):  # two rows of lead-in
            row |= {"latency_ms": str(latency_ms), "serving_site": site, "start_s": "1.5"}
        return rows

    return change


def test_figures_are_those_of_the_step(tmp_path):
    figures = merit(one_cell(tmp_path, with_latencies(*range(100, 1100, 100))))
    assert figures.requests == figures.answered == 10
    assert figures.mean_ms == pytest.approx(550)
    assert figures.p50_ms == pytest.approx(550)
    assert figures.p99_ms == pytest.approx(991)
    assert figures.throughput_rps == pytest.approx(10 / 1.5)  # the last answer: 1.5 s + 1 s, the step began at 1 s


def test_time_outs_are_errors_and_count_in_full(tmp_path):
    def change(rows):
        for row in rows[-5:]:
            row |= {"status": "0", "error": "timeout", "latency_ms": "5", "serving_site": "", "processing_ms": ""}
        return with_latencies(*[100] * 5, *[5] * 5)([row | {"serving_site": ""} for row in rows])

    figures = merit(one_cell(tmp_path, change))
    assert (figures.errors, figures.timeouts, figures.answered) == (5, 5, 5)
    assert figures.mean_ms == pytest.approx((5 * 100 + 5 * 120_000) / 10)


def test_spilled_is_served_elsewhere_over_answered(tmp_path):
    def change(rows):
        for row in rows[-4:]:
            row["serving_site"] = "cloud"
        rows[-1] |= {"status": "503", "error": "503"}
        return rows

    figures = merit(one_cell(tmp_path, change))
    assert figures.served_by == {"cloud": 3, "edge1": 6}
    assert figures.spilled_fraction == pytest.approx(3 / 9)


def test_nothing_answered_gives_no_figure_instead_of_a_wrong_one(tmp_path):
    def change(rows):
        return [row | {"status": "0", "error": "refused", "latency_ms": "1"} for row in rows]

    figures = merit(one_cell(tmp_path, change))
    assert figures.throughput_rps == 0
    assert figures.spilled_fraction is None
    assert figures.mean_processing_ms is None


def test_the_papers_rule_beats_no_balancing_and_a_factor_below_one_beats_one(pristine_run):
    measured = measure(load_run(pristine_run))
    below, full = measured.comparisons
    assert (below.variant, below.baseline) == ("paper-1s", "local-20s")
    assert below.p50_reduction > full.p50_reduction > 0.5
    assert below.mean_reduction_interval[0] <= below.mean_reduction <= below.mean_reduction_interval[1]


def test_comparisons_take_medians_over_repeats(tmp_path):
    plans = (Plan("local", duration_s=5, repeats=3), Plan("paper", "paper", "local", duration_s=5, repeats=2))
    measured = measure(load_run(build_run(tmp_path, plans)))
    ours = np.median([one.mean_ms for one in measured.merits["paper"]])
    theirs = np.median([one.mean_ms for one in measured.merits["local"]])
    (compared,) = measured.comparisons
    assert compared.mean_reduction == pytest.approx(1 - ours / theirs)
    assert (compared.repeats, compared.baseline_repeats) == (2, 3)


def test_a_figure_shows_the_repeat_in_the_middle(tmp_path):
    run = load_run(build_run(tmp_path, (Plan("local", duration_s=5, repeats=3),)))
    cells = run.repeats("local")
    means = [cell.step["response_ms"].mean() for cell in cells]
    assert middle_repeat(cells).step["response_ms"].mean() == np.median(means)


def test_the_bootstrap_is_repeatable():
    ours, theirs = [np.arange(10.0, 60.0)], [np.arange(100.0, 200.0)]
    assert bootstrap_intervals(ours, theirs) == bootstrap_intervals(ours, theirs)
    assert bootstrap_intervals(ours, theirs) != bootstrap_intervals(ours, theirs, seed=1)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(3)
    covered = np.zeros(2)
    for _ in range(60):
        ours, theirs = [generator.exponential(100, 200)], [generator.exponential(1000, 200)]
        intervals = bootstrap_intervals(ours, theirs, resamples=100)
        covered += [low < 0.9 < high for low, high in intervals]
    assert (covered >= 51).all()
    assert (covered < 60).all()


def test_repeats_that_differ_widen_the_interval():
    same = [np.full(50, 100.0)] * 3
    apart = [np.full(50, 50.0), np.full(50, 100.0), np.full(50, 400.0)]
    baseline = [np.full(50, 1000.0)] * 3
    (narrow, _), (wide, _) = bootstrap_intervals(same, baseline), bootstrap_intervals(apart, baseline)
    assert narrow == pytest.approx((0.9, 0.9))
    assert wide[1] - wide[0] > 0.3


def test_the_middle_of_nothing_is_nothing():
    assert middle([None, 3.0, 1.0]) == 2.0
    assert middle([None]) is None
