from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from spillover.cli.stopping import stop_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_while_the_loop_holds_the_events_lock_still_stops_it(number: signal.Signals) -> None:
    stop = stop_on_signals()
    with stop._cond:  # as in the midst of stop.wait()
        signal.raise_signal(number)
        assert not stop.is_set()
    assert stop.wait(10)
