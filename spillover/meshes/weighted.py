"""What the meshes' modules share: the weighted destinations of one route, and what has to change in them.

A mesh's module says where its destinations are, what they are called and what an absent weight means; this one compares
the weights in force with those wanted. Pure transforms of plain dictionaries.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Path = tuple[str | int, ...]

DEFAULT_TOTAL = 100

Weight = TypeVar("Weight", int, Decimal)

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMESPACE = re.compile(_LABEL)
_LONGEST_NAME = 253


class Candidate(NamedTuple):
    """One route of an object that has destinations.

    Parameters
    ----------
    name : str or None
        What a user calls it.
    path : tuple of str and int
        Where its list of destinations is in the object.
    items : sequence of mapping
        The destinations, as in the object.
    """

    name: str | None
    path: Path
    items: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Route(Generic[Weight]):
    """The weighted destinations of the chosen route.

    Parameters
    ----------
    label : str
        The object, as in a sentence.
    weights : mapping of str to int or Decimal
        The weights in force, as the mesh counts them, by the destinations' names and in the route's own order.
    paths : mapping of str to tuple of str and int
        Where each weight is in the object.
    """

    label: str
    weights: Mapping[str, Weight]
    paths: Mapping[str, Path]

    @classmethod
    def of(cls, label: str, chosen: Candidate, keys: Sequence[str], weights: Sequence[Weight]) -> Route[Weight]:
        """Join a candidate with its keys and its weights in force; SpilloverError if two keys are equal."""
        twice = [key for key, number in Counter(keys).items() if number > 1]
        if twice:
            raise SpilloverError(f"{label} routes to {twice[0]!r} more than once, so its weights cannot be told apart")
        paths = {key: (*chosen.path, index, "weight") for index, key in enumerate(keys)}
        return cls(label, dict(zip(keys, weights, strict=True)), paths)

    def check_wanted(self, weights: Mapping[str, object]) -> None:
        """Raise SpilloverError on an unknown destination, or a weight that is not a whole number of 0 or more."""
        unknown = [key for key in weights if key not in self.weights]
        if unknown:
            raise SpilloverError(
                f"unknown destination {unknown[0]!r}: {self.label} routes to {', '.join(self.weights)}"
            )
        for key, weight in weights.items():
            check_weight(key, weight)

    def changes(self: Route[int], weights: Mapping[str, int], total: int) -> dict[Path, int]:
        """Return the weights that differ, by their place in the object.

        Parameters
        ----------
        weights : mapping of str to int
            Weight by destination. Destinations that are not named keep theirs.
        total : int
            What all weights of the route together must sum to.

        Raises
        ------
        SpilloverError
            As `check_wanted`, and on another sum.
        """
        self.check_wanted(weights)
        return self.differing(weights, total)

    def differing(self, weights: Mapping[str, Weight], total: int) -> dict[Path, Weight]:
        """Return what `changes` returns, for weights that are checked and in the mesh's own unit."""
        after = {**self.weights, **weights}
        whole = sum(after.values())
        if whole != total:
            listed = ", ".join(f"{key}={weight}" for key, weight in after.items())
            raise SpilloverError(f"the weights of {self.label} must sum to {total}, got {whole}: {listed}")
        return {self.paths[key]: weight for key, weight in after.items() if weight != self.weights[key]}


def with_changes(obj: Mapping[str, Any], changes: Mapping[Path, float]) -> tuple[dict[str, Any], bool]:
    """Return a copy of the object that has the changes, and whether there were any."""
    result = copy.deepcopy(dict(obj))
    for path, value in changes.items():
        node: Any = result
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
    return result, bool(changes)


def patch(obj: Mapping[str, Any], label: str, changes: Mapping[Path, float]) -> list[dict[str, Any]]:
    """Return the changes as a JSON patch (RFC 6902); empty when there are none.

    Its first operation tests the resourceVersion: list positions are only true for the object that was read.
    An object without resourceVersion is a SpilloverError.
    """
    if not changes:
        return []
    version = (obj.get("metadata") or {}).get("resourceVersion")
    if not version:
        raise SpilloverError(f"{label} has no metadata.resourceVersion to test against")
    # "add" sets an object's member whether it exists or not.
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}] + [
        {"op": "add", "path": "/" + "/".join(map(str, path)), "value": value} for path, value in changes.items()
    ]


def choose(label: str, candidates: Sequence[Candidate], name: str | None, *, noun: str = "HTTP route") -> Candidate:
    """Return the named or the only candidate; SpilloverError if it cannot be told."""
    if not candidates:
        raise SpilloverError(f"{label} has no {noun} with destinations")
    names = ", ".join(candidate.name or "(unnamed)" for candidate in candidates)
    fitting = [candidate for candidate in candidates if name is None or candidate.name == name]
    if not fitting:
        raise SpilloverError(f"{label} has no {noun} named {name!r}; it has {names}")
    if len(fitting) > 1:
        raise SpilloverError(f"{label} has {len(fitting)} {noun}s that fit ({names}): name the one to change")
    return fitting[0]


def describe(kind: str, obj: Mapping[str, Any]) -> str:
    """Return the object as in a sentence: its kind, namespace and name."""
    metadata = obj.get("metadata") or {}
    name = "/".join(part for part in (metadata.get("namespace"), metadata.get("name")) if part)
    return f"{kind} {name or '(unnamed)'}"


def check_weight(key: str, weight: object) -> int:
    """Return the weight; SpilloverError unless it is a whole number of 0 or more."""
    if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
        raise SpilloverError(f"the weight of {key!r} must be a whole number of 0 or more, got {weight!r}")
    return weight


def read_weight(key: str, value: object) -> int:
    """Return a weight in force as `check_weight`; a JSON number may be whole and yet a float."""
    return check_weight(key, int(value) if isinstance(value, float) and value.is_integer() else value)


def metadata_of(name: str, namespace: str) -> dict[str, str]:
    """Return the metadata of a new object; SpilloverError unless Kubernetes takes both names."""
    for field, value, rule in (("name", name, _NAME), ("namespace", namespace, _NAMESPACE)):
        if len(value) > _LONGEST_NAME or not rule.fullmatch(value):
            raise SpilloverError(f"the {field} must be a Kubernetes name in lower case, got {value!r}")
    return {"name": name, "namespace": namespace}


def parse(what: str, text: str, form: re.Pattern[str], shown: str) -> dict[str, Any]:
    """Split the name of a destination or a host into its parts, without the absent ones and with ``port`` as a number.

    Parameters
    ----------
    what : str
        "destination" or "host".
    text : str
        What was given.
    form : re.Pattern of str
        Its parts are the named groups.
    shown : str
        The form for people.

    Raises
    ------
    SpilloverError
        If the text has another form, or no socket has its port.
    """
    match = form.fullmatch(text)
    parts: dict[str, Any] = {name: part for name, part in match.groupdict().items() if part} if match else {}
    if "port" in parts:
        parts["port"] = int(parts["port"])
    if not parts or not 1 <= parts.get("port", 1) <= 65535:
        raise SpilloverError(f"the {what} must have the form {shown}, got {text!r}")
    return parts


def check_count(label: str, destinations: Mapping[str, int], most: int) -> None:
    """Raise SpilloverError if there are more destinations than the mesh takes."""
    if len(destinations) > most:
        raise SpilloverError(f"the destinations of {label} must be at most {most}, got {len(destinations)}")
