from __future__ import annotations

import pytest
from simulator_helpers import Fixed, constant, link, scenario, site

from spillover.simulator.engine import simulate_with
from spillover.simulator.stability import home_share_deviation

PAIR = scenario(
    {"a": site(10), "b": site(10)}, {"a": constant(5)}, links=[link("a", "b", 5)], warmup_s=20, control={"period_s": 10}
)


def test_weights_that_do_not_move_have_no_deviation():
    assert home_share_deviation(simulate_with(PAIR, Fixed({"a": {"a": 30, "b": 70}}), name="f", mode="weights")) == 0


def test_weights_that_swing_between_all_and_nothing_have_the_deviation_of_a_coin():
    def swings(snapshot, state, **_):
        tick = (state or 0) + 1
        return Fixed({"a": {"a": 100} if tick % 2 else {"b": 100}})(snapshot, None)[0], tick

    assert home_share_deviation(simulate_with(PAIR, swings, name="f", mode="weights")) == pytest.approx(0.5)
