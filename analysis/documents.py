"""Read JSON documents and take typed fields out of them, with one clear sentence when something is wrong."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spillover.model import SpilloverError
from spillover.validation import parse_json, read_json, read_text

JsonObject = Mapping[str, Any]


def read_object(path: Path) -> JsonObject:
    """Return the JSON object in `path`; SpilloverError if it holds anything else."""
    document = read_json(path)
    if not isinstance(document, dict):
        raise SpilloverError(f"{path} must hold a JSON object, got {type(document).__name__}")
    return document


def read_objects(path: Path) -> tuple[JsonObject, ...]:
    """Return the list of JSON objects in `path`; SpilloverError if it holds anything else."""
    document = read_json(path)
    if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
        raise SpilloverError(f"{path} must hold a list of JSON objects")
    return tuple(document)


def read_lines(path: Path) -> Iterator[tuple[int, JsonObject | None]]:
    """Yield (line number, object) of a log of JSON lines, (line number, None) for a line that is not JSON's.

    A pod's log may hold a line that the controller did not write (a runtime's warning): it does not begin with a brace.
    One that begins with a brace and does not parse is a torn line, and an error.
    """
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            yield number, None
            continue
        yield number, parse_json(line, source=f"{path} line {number}")


def text(document: JsonObject, name: str, where: str) -> str:
    """Return the field `name` as text that is not empty."""
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise SpilloverError(f"{where}: {name} must be text, got {value!r}")
    return value


def integer(document: JsonObject, name: str, where: str) -> int:
    """Return the field `name` as an integer."""
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise SpilloverError(f"{where}: {name} must be an integer, got {value!r}")
    return value


def number(document: JsonObject, name: str, where: str, default: float | None = None) -> float:
    """Return the field `name` as a finite number, `default` when it is absent and there is one."""
    value = document.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise SpilloverError(f"{where}: {name} must be a number, got {value!r}")
    return float(value)


def mapping(document: JsonObject, name: str, where: str) -> JsonObject:
    """Return the field `name` as an object."""
    value = document.get(name)
    if not isinstance(value, dict):
        raise SpilloverError(f"{where}: {name} must be an object, got {value!r}")
    return value


def objects(document: JsonObject, name: str, where: str) -> tuple[JsonObject, ...]:
    """Return the field `name` as a list of objects that is not empty."""
    value = document.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        raise SpilloverError(f"{where}: {name} must be a list of objects that is not empty, got {value!r}")
    return tuple(value)
