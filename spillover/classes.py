"""Classes of requests: by what they are known, and under which name the proxies count them. The first counts most."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from spillover.model import SpilloverError
from spillover.validation import Strict, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 16
_Text = Annotated[str, Field(min_length=1, max_length=253)]
_COUNTER = re.compile(r"class_\d\d_([a-z0-9_]+)")


class HeaderMatch(Strict):
    """A header with a certain value, or one that begins so: exactly one of both."""

    name: Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9][-A-Za-z0-9_]*$")]
    exact: _Text | None = None
    prefix: _Text | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.exact is None) == (self.prefix is None):
            raise SpilloverError(f"one of exact and prefix must be given, got {self.exact!r} and {self.prefix!r}")
        return self


class PathMatch(Strict):
    """A path that begins so; what follows a question mark is no part of it."""

    prefix: Annotated[str, Field(max_length=253, pattern=r"^/[^?#\s]*$")]


class ClassMatch(Strict):
    """What a request must have: exactly one of both."""

    header: HeaderMatch | None = None
    path: PathMatch | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.header is None) == (self.path is None):
            raise SpilloverError(f"one of header and path must be given, got {'both' if self.header else 'none'}")
        return self


class RequestClass(Strict):
    """A class of requests.

    Attributes
    ----------
    name
        A DNS label, as those of sites.
    match
        Which requests belong to it; null for the last class, to which all belong that no other one has.
    """

    name: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    match: ClassMatch | None = None


def _in_order(classes: tuple[RequestClass, ...]) -> tuple[RequestClass, ...]:
    names = [one.name for one in classes]
    for name in names:
        if names.count(name) > 1:
            raise SpilloverError(f"each class must be named once, got {name!r} twice")
    for one in classes[:-1]:
        if one.match is None:
            raise SpilloverError(f"every class but the last must have a match, got none for {one.name!r}")
    return classes


Classes = Annotated[tuple[RequestClass, ...], Field(max_length=_MOST), AfterValidator(_in_order)]
"""The most important first. A request belongs to the first class that it matches, or to the last one."""


class _Given(Strict):
    classes: Classes


def parse_classes(raw: object) -> tuple[RequestClass, ...]:
    """Check decoded YAML; SpilloverError with a sentence that names the field and the value."""
    return parse(_Given, {"classes": raw}, source="settings").classes


def counter_names(classes: Sequence[RequestClass]) -> list[str]:
    """Return the name under which each class is counted; their alphabetical order is that of the classes."""
    return [f"class_{place:02d}_{one.name.replace('-', '_')}" for place, one in enumerate(classes)]


def counted_class(counter: str) -> str | None:
    """Return the name of the class that is counted under a name; None for that of something else."""
    found = _COUNTER.fullmatch(counter)
    return None if found is None else found[1].replace("_", "-")
