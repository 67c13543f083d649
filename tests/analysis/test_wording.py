import pytest

from analysis import wording


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.5, "0.50 ms"), (9.999, "10.0 ms"), (87.24, "87.2 ms"), (226.4, "226 ms"), (1061.7, "1.06 s"),
     (28_149, "28.1 s"), (120_000, "120 s"), (None, "\N{EN DASH}")],
)  # fmt: skip
def test_times_have_the_unit_that_suits_them(value, words):
    assert wording.ms(value) == words


def test_changes_name_their_direction():
    assert wording.change(0.963) == "96.3 % lower"
    assert wording.change(-0.04) == "4.0 % higher"


def test_settings_are_told_as_far_as_they_are_there():
    assert wording.settings_of("local", {"window_s": 1, "load_factor": 1.0}) == "no balancing"
    assert wording.settings_of("local", {"load_factor": 0.125}) == (
        "no balancing, 0.125 \N{MULTIPLICATION SIGN} the load"
    )
    assert wording.settings_of("paper", {"period_s": 60, "rpm_max_factor": 1.0}) == (
        "policy paper, period 60 s, RPM_max = 1 \N{MULTIPLICATION SIGN} capacity"
    )
