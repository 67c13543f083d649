from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from spillover.collector.poller import GatewayPoller
from spillover.sources.envoy import GatewayStats
from spillover.sources.fetch import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gateways:
    def __init__(self) -> None:
        self.now_s = 50.0
        self.values: dict[str, float | SourceError] = {"a": 100.0}
        self.in_flight: dict[str, float] = {}
        self.replicas: dict[str, int] = {}
        self.by_class: dict[str, dict[str, float]] = {}
        self.reads = 0

    def read(self, address: str) -> GatewayStats:
        self.reads += 1
        value = self.values[address]
        if isinstance(value, SourceError):
            raise value
        return GatewayStats(
            value, self.in_flight.get(address), self.replicas.get(address), self.by_class.get(address, {})
        )


@pytest.fixture
def gateways() -> Gateways:
    return Gateways()


@pytest.fixture
def poller(gateways: Gateways) -> Iterator[GatewayPoller]:
    made = GatewayPoller(lambda: list(gateways.values), gateways.read, clock=lambda: gateways.now_s, started_unix_s=1e9)
    yield made
    made.close()


def test_sample_carries_unix_time_told_by_the_monotonic_clock(poller: GatewayPoller) -> None:
    reading = poller.reading(0.1)
    assert reading.count is not None
    assert reading.count.sampled_at_s == 1e9 + 50.0
    assert (reading.age_s, reading.error) == (0.0, "")


def test_who_asks_soon_again_gets_the_same_sample(poller: GatewayPoller, gateways: Gateways) -> None:
    poller.reading(0.1)
    gateways.now_s += 0.05
    reading = poller.reading(0.1)
    assert gateways.reads == 1
    assert reading.age_s == pytest.approx(0.05)


def test_silent_gateway_leaves_the_last_complete_sample_to_grow_old(poller: GatewayPoller, gateways: Gateways) -> None:
    gateways.values = {"a": 100.0, "b": 100.0}
    poller.reading(0.1)
    gateways.values = {"a": 130.0, "b": SourceError("b did not answer within 0.3 s")}
    gateways.now_s += 2.0
    reading = poller.reading(0.1)
    assert reading.count is not None
    assert reading.count.requests_total == 0.0
    assert (reading.age_s, reading.error) == (2.0, "b did not answer within 0.3 s")


def test_increments_of_a_gateway_that_was_silent_come_with_their_time(
    poller: GatewayPoller, gateways: Gateways
) -> None:
    poller.reading(0.1)
    gateways.values["a"] = SourceError("silent")
    gateways.now_s += 1.0
    poller.reading(0.1)
    gateways.values["a"] = 140.0
    gateways.now_s += 1.0
    reading = poller.reading(0.1)
    assert reading.count is not None
    assert reading.count.requests_total == 40.0
    assert reading.count.sampled_at_s == 1e9 + 52.0


def test_failing_gateways_are_not_asked_more_often_than_allowed(poller: GatewayPoller, gateways: Gateways) -> None:
    gateways.values["a"] = SourceError("silent")
    for _ in range(10):
        assert poller.reading(1.0).count is None
    assert gateways.reads == 1


def test_no_address_is_an_error_not_a_count_of_zero(poller: GatewayPoller, gateways: Gateways) -> None:
    gateways.values = {}
    reading = poller.reading(0.1)
    assert reading.count is None
    assert reading.error == "the gateways' name resolves to no address"


def test_many_who_ask_at_once_cause_one_poll(poller: GatewayPoller, gateways: Gateways) -> None:
    threads = [threading.Thread(target=poller.reading, args=(0.1,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gateways.reads == 1


def test_requests_in_flight_are_summed_over_the_gateways(poller: GatewayPoller, gateways: Gateways) -> None:
    gateways.values["b"] = 5.0
    gateways.in_flight = {"a": 3.0, "b": 4.0}
    count = poller.reading(0.1).count
    assert count is not None
    assert count.in_flight == 7.0


def test_requests_in_flight_are_unknown_when_a_gateway_does_not_say(poller: GatewayPoller, gateways: Gateways) -> None:
    gateways.values["b"] = 5.0
    gateways.in_flight = {"a": 3.0}
    count = poller.reading(0.1).count
    assert count is not None
    assert count.in_flight is None


def test_a_gateway_that_has_not_heard_of_the_replicas_yet_hides_none(poller: GatewayPoller, gateways: Gateways) -> None:
    gateways.values = {"a": 1.0, "b": 1.0, "c": 1.0}
    gateways.replicas = {"a": 2, "b": 0}
    count = poller.reading(0.1).count
    assert count is not None
    assert count.replicas == 2


def test_classes_are_summed_over_the_gateways(poller: GatewayPoller, gateways: Gateways) -> None:
    gateways.values["b"] = 5.0
    poller.reading(0.1)
    gateways.by_class = {"a": {"gold": 3.0}, "b": {"gold": 4.0, "rest": 1.0}}
    gateways.now_s += 1.0
    count = poller.reading(0.1).count
    assert count is not None
    assert count.by_class == {"gold": 7.0, "rest": 1.0}
