"""One sentence for what pydantic found wrong: the field, the rule and the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], data: object, *, source: str) -> Model:
    """Validate `data` as `model`.

    Parameters
    ----------
    model
        The pydantic model that declares the fields.
    data
        What was read, usually nested dicts and lists.
    source
        Where it was read from, for the message: a file's name.

    Raises
    ------
    SpilloverError
        One sentence about the first field that is wrong, such as
        ``load.json: streams.0.seed must be a valid integer, got 'x'``.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpilloverError(f"{source}: {_sentence(error.errors()[0])}") from None


def _sentence(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "the content"
    if error["type"] == "value_error":  # raised by a model's own check, which names its field itself
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"{where} is missing"
    if error["type"] == "extra_forbidden":
        return f"{where} is not a known field"
    rule = str(error["msg"]).replace("Input should", "must").replace("String should", "must")
    return f"{where} {rule[0].lower()}{rule[1:]}, got {error['input']!r}"
