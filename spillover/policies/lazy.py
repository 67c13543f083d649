"""A read-only mapping that is built when somebody first looks into it.

A decision about thousands of sites holds tens of thousands of numbers and sentences, and most readers want those of one
site. What it is built from are arrays that nobody changes, so that when it is built makes no difference to what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Lazy(Mapping[str, Value], Generic[Value]):
    """A mapping that stands for the dict that ``build`` returns; equal to it, copied and pickled as it.

    Parameters
    ----------
    build : callable
        A pure function without arguments; called at most once.
    """

    __slots__ = ("_build", "_built")

    def __init__(self, build: Callable[[], Mapping[str, Value]]) -> None:
        self._build: Callable[[], Mapping[str, Value]] | None = build
        self._built: Mapping[str, Value] = {}

    def _inner(self) -> Mapping[str, Value]:
        if self._build is not None:
            self._built = self._build()
            self._build = None  # and with it the arrays
        return self._built

    def __getitem__(self, key: str) -> Value:
        return self._inner()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner())

    def __len__(self) -> int:
        return len(self._inner())

    def __repr__(self) -> str:
        return repr(self._inner())

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self._inner()),)
