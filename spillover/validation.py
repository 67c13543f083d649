"""Files as checked values: read as text, YAML or JSON, then as a pydantic model; what is wrong is one sentence.

A sentence names the file, the field, the rule and the value: ``load.json: streams.0.seed must be at least 0, got -1``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Model = TypeVar("Model", bound=BaseModel)

_LONGEST_VALUE = 80
"""Characters of a wrong value that are shown; whole files may be wrong."""

_WORDING = (
    (r"^\w+ should", "must"),
    (r"greater than or equal to", "at least"),
    (r"greater than", "above"),
    (r"less than or equal to", "at most"),
    (r"less than", "below"),
    (r"a valid (dictionary|mapping).*", "a mapping"),
    (r", unable to parse .*| after validation, not .*", ""),
)
"""What pydantic says, and the project's words for it."""


class Strict(BaseModel):
    """A part of a file in which nothing unknown passes, and no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_text(path: Path) -> str:
    """Return the text of a file; SpilloverError if it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpilloverError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpilloverError(f"{path} is not UTF-8 text (byte {error.start})") from error


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds; SpilloverError as `read_text`, and if it is not YAML."""
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that no calendar has
        raise SpilloverError(f"{path} is not YAML: {_one_line(error)}") from error


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; SpilloverError as `read_text`, and if it is not JSON."""
    return parse_json(read_text(path), source=str(path))


def parse_json(text: str | bytes, *, source: str) -> Any:
    """Decode JSON; SpilloverError names the source if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, or a number of too many digits
        raise SpilloverError(f"{source} is not JSON: {_one_line(error)}") from error


def parse(model: type[Model], data: object, *, source: str) -> Model:
    """Validate `data` as `model`.

    Parameters
    ----------
    model
        The pydantic model that declares the fields. Its own checks raise ValueError with a sentence that names the
        field, seen from that model.
    data
        What was read, usually nested dicts and lists.
    source
        Where it was read from, for the message: a file's name.

    Raises
    ------
    SpilloverError
        One sentence about the first field that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpilloverError(f"{source}: {_sentence(error.errors()[0], data)}") from error


def _sentence(error: Mapping[str, Any], data: object) -> str:
    where = _where(error, data)
    if error["type"] == "value_error":
        said = _one_line(error["ctx"]["error"])
        return f"{where}: {said}" if where else said
    where = where or "the content"
    if error["type"] == "missing":
        return f"{where} must be given, got none"
    got = _shown(error["input"])
    if error["type"] == "extra_forbidden":
        return f"{where} is not a known field, got {got}"
    rule = str(error["msg"])
    for theirs, ours in _WORDING:
        rule = re.sub(theirs, ours, rule)
    return f"{where} {rule}, got {got}"


def _where(error: Mapping[str, Any], data: object) -> str:
    """Return the path of a field as the data have it: without the names that pydantic gives the members of a union."""
    steps = []
    place: Any = data
    for step in error["loc"]:
        try:
            place = place[step]
        except (LookupError, TypeError):
            if error["type"] != "missing" or step != error["loc"][-1]:
                continue
        steps.append(str(step))
    return ".".join(steps)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
