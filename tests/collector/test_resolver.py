from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from spillover.collector.resolver import Resolver, lookup

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_address_is_its_own_name() -> None:
    assert lookup("127.0.0.1", 15090) == ["127.0.0.1"]


def test_new_addresses_replace_the_old() -> None:
    answers: list[Sequence[str]] = [["198.18.0.1"], ["198.18.0.2", "198.18.0.3"]]
    resolver = Resolver(lambda: answers.pop(0), 1.0)
    assert resolver.addresses() == ()
    resolver.refresh()
    resolver.refresh()
    assert resolver.addresses() == ("198.18.0.2", "198.18.0.3")


def test_failed_lookup_keeps_the_last_addresses() -> None:
    answers: list[Sequence[str]] = [["198.18.0.1"]]

    def once() -> Sequence[str]:
        if not answers:
            raise OSError("name server down")
        return answers.pop()

    resolver = Resolver(once, 1.0)
    resolver.refresh()
    resolver.refresh()
    assert resolver.addresses() == ("198.18.0.1",)


def test_lookup_that_hangs_blocks_neither_readers_nor_the_end() -> None:
    gate, asked = threading.Event(), threading.Event()

    def hang() -> Sequence[str]:
        asked.set()
        gate.wait(10)
        return ["198.18.0.1"]

    resolver = Resolver(hang, 0.01)
    resolver.start()
    assert asked.wait(5)
    assert resolver.addresses() == ()
    resolver.stop()
    gate.set()


def test_running_resolver_looks_up_again_and_again() -> None:
    third = threading.Event()
    calls = iter(range(100))

    def count() -> Sequence[str]:
        if next(calls) == 2:
            third.set()
        return ["198.18.0.1"]

    resolver = Resolver(count, 0.01)
    resolver.start()
    assert third.wait(5)
    resolver.stop()
