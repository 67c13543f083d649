from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from spillover.controller.backoff import Backoff


def seeded(seed: int = 1) -> random.Random:
    return random.Random(seed)  # noqa: S311  jitter


def wait_of(backoff: Backoff, now_s: float) -> float:
    step_s = 0.0
    while not backoff.ready(now_s + step_s):
        step_s += 0.05
    return step_s


def test_new_backoff_is_ready() -> None:
    assert Backoff(1.0, 30.0, seeded()).ready(0.0)


@given(failures=st.integers(1, 200), seed=st.integers(0, 99))
def test_delay_doubles_up_to_the_limit_with_jitter_below(failures: int, seed: int) -> None:
    backoff = Backoff(1.0, 30.0, seeded(seed))
    for _ in range(failures):
        backoff.failed(100.0)
    bound_s = min(30.0, 2.0 ** (failures - 1))
    assert bound_s / 2 <= wait_of(backoff, 100.0) <= bound_s + 0.1


def test_two_sites_do_not_come_back_in_step() -> None:
    rng = seeded(3)
    waits = set()
    for _ in range(5):
        backoff = Backoff(8.0, 30.0, rng)
        backoff.failed(0.0)
        waits.add(wait_of(backoff, 0.0))
    assert len(waits) > 1


def test_success_ends_the_delay() -> None:
    backoff = Backoff(1.0, 30.0, seeded())
    backoff.failed(0.0)
    assert backoff.failing
    backoff.succeeded()
    assert backoff.ready(0.0)
    assert not backoff.failing


def test_wait_that_the_server_asked_for_is_honoured() -> None:
    backoff = Backoff(1.0, 30.0, seeded())
    backoff.failed(0.0, retry_after_s=20.0)
    assert not backoff.ready(19.9)
    assert backoff.ready(20.0)


def test_absurd_wait_is_bounded() -> None:
    backoff = Backoff(1.0, 30.0, seeded())
    backoff.failed(0.0, retry_after_s=1e9)
    assert backoff.ready(300.0)
