"""Faults of the lab's own servers, and that they end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lab_helpers import DOCKER, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def engine(*command: str) -> None:
    ended = run([*DOCKER, *command])
    assert ended.returncode == 0, ended.stderr


def on_server(site: str, *command: str) -> None:
    engine("exec", f"spillover-{site}", *command)


@contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    try:
        yield
    finally:
        undo()
