import pytest
from run_builder import Plan, build_run

from analysis import findings
from analysis.load import load_run
from analysis.metrics import measure


@pytest.fixture(scope="module")
def measured(pristine_run):
    return measure(load_run(pristine_run))


def test_the_headline_is_the_largest_measured_reduction(measured):
    best = measured.comparisons[0]
    headline = findings.headline(measured)
    assert f"{100 * best.p50_reduction:.1f} % lower" in headline.claim
    assert headline.claim.endswith("paper-1s against local-20s")
    assert "2.0 times its measured capacity of 720 RPM" in headline.load


def test_a_run_that_got_worse_says_so(tmp_path):
    plans = (Plan("calm", duration_s=5, rps=(2, 4)), Plan("flooded", "local", "calm", duration_s=5))
    headline = findings.headline(measure(load_run(build_run(tmp_path, plans))))
    assert "% higher" in headline.claim


def test_without_a_baseline_nothing_is_claimed(tmp_path):
    measured = measure(load_run(build_run(tmp_path, (Plan("alone", duration_s=5),))))
    assert "no baseline" in findings.headline(measured).claim
    assert findings.cards(measured) == []


@pytest.mark.parametrize(
    ("reduction", "words"),
    [(0.973, "1.0 points above the 96.3 % of 2022"), (0.5, "46.3 points below the 96.3 % of 2022"),
     (0.963, "equal to the 96.3 % of 2022"), (-0.5, "146.3 points below the 96.3 % of 2022")],
)  # fmt: skip
def test_the_published_figure_stands_beside_ours(reduction, words):
    assert findings.against_published(reduction) == words


def test_the_table_has_a_row_a_variant_and_a_change_where_there_is_a_baseline(measured):
    rows = findings.table(measured)
    assert [row["variant"] for row in rows] == ["local-20s", "paper-1s", "paper-1s-full"]
    assert [row["is_baseline"] for row in rows] == [True, False, False]
    assert "RPM_max = 0.8" in rows[1]["settings"]
    assert "%" in rows[1]["p50_interval"]


def test_who_served_whom_adds_up(measured):
    for row in findings.served(measured.run):
        counts = [int(cell["count"].replace(",", "")) for cell in row["sites"]]
        assert sum(counts) == 480
        assert [cell["home"] for cell in row["sites"]] == [True, False, False]
