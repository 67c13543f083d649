from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from spillover.simulator.statistics import Estimate, estimate, ratio, verdict


def test_an_interval_is_students():
    values = np.array([1.0, 2.0, 4.0, 5.0])
    low, high = stats.t.interval(0.95, 3, loc=3.0, scale=stats.sem(values))
    assert (estimate(values).low, estimate(values).high) == pytest.approx((low, high))


def test_one_value_has_no_interval_and_none_no_mean():
    assert estimate(np.array([7.0])).mean == 7
    assert np.isnan(estimate(np.array([7.0])).reach)
    assert np.isnan(estimate(np.array([])).mean)


def test_runs_are_compared_seed_by_seed():
    ours, theirs = pd.Series({0: 10.0, 1: 100.0, 2: 5.0}), pd.Series({1: 200.0, 0: 20.0, 9: 1.0})
    compared = ratio(ours, theirs)
    assert (compared.mean, compared.reach) == (0.5, 0.0)


@pytest.mark.parametrize(("mean", "said"), [(0.9, "win"), (0.97, "tie"), (1.0, "tie"), (1.04, "tie"), (1.2, "loss")])
def test_a_difference_within_the_interval_is_a_tie(mean, said):
    assert verdict(Estimate(mean, 0.05)) == said
