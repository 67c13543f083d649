"""Consul's ServiceSplitter: the percentages of the splits of one service.

A weight is a percentage from 0 to 100, in steps of 0.01; an absent one is 0, and all of them must sum to 100. The
object is named after the service that it splits. Percentages are decimals here, so that their sum is exact, and plain
numbers in the object.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spillover.meshes import weighted
from spillover.meshes.weighted import DEFAULT_TOTAL, Candidate, Route
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.meshes.weighted import Path

API_VERSION = "consul.hashicorp.com/v1alpha1"
KIND = "ServiceSplitter"
STEPS = 10_000
"""The finest split: a hundredth of a percent is a step."""

_DNS = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_FORM = re.compile(rf"(?P<service>{_DNS})(?:/(?P<serviceSubset>{_DNS}))?")


def render(
    name: str, namespace: str, host: str, destinations: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> dict[str, Any]:
    """Return a new ServiceSplitter.

    Parameters
    ----------
    name, namespace : str
        Of the new object.
    host : str
        The service that the clients call; it must be the name.
    destinations : mapping of str to int
        Weight by ``service[/subset]``.
    total : int
        What the weights must sum to: a divisor of 10,000, so that each is a percentage in steps of 0.01.

    Raises
    ------
    SpilloverError
        On a name that Kubernetes does not take or that is not the host, a destination of another form, another total,
        or wrong weights.
    """
    if name != host:
        raise SpilloverError(f"the name of a {KIND} must be that of the service it splits, {host!r}, got {name!r}")
    metadata = weighted.metadata_of(name, namespace)
    splits = [{"weight": 0} | weighted.parse("destination", key, _FORM, "service[/subset]") for key in destinations]
    rendered = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"splits": splits}}
    return set_weights(rendered, destinations, total=total)[0]


def destination_key(split: Mapping[str, Any], own_service: str) -> str:
    """Name one split: ``service`` or ``service/subset``; the service is the splitter's own if the split names none."""
    service = split.get("service") or own_service
    subset = split.get("serviceSubset")
    return f"{service}/{subset}" if subset else str(service)


def read_weights(splitter: Mapping[str, Any]) -> dict[str, float]:
    """Return the percentages in force, by destination key and in the object's own order.

    Raises
    ------
    SpilloverError
        If the object has no splits, two of them have the same key, or a weight is not a number from 0 to 100.
    """
    return {key: _plain(weight) for key, weight in _route(splitter).weights.items()}


def set_weights(
    splitter: Mapping[str, Any], weights: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> tuple[dict[str, Any], bool]:
    """Return a copy of the ServiceSplitter that has these weights as percentages, and whether it differs.

    Parameters
    ----------
    splitter : mapping
        The object as the API server returns it; it is not modified.
    weights : mapping of str to int
        Weight by destination key. Splits that are not named keep their percentage.
    total : int
        The weight that is 100 percent: a divisor of 10,000.

    Raises
    ------
    SpilloverError
        As `read_weights`, and on an unknown destination, a weight that is not a whole number of 0 or more, another
        total, or percentages that do not sum to 100.
    """
    return weighted.with_changes(splitter, _changes(_route(splitter), weights, total))


def json_patch(
    splitter: Mapping[str, Any], weights: Mapping[str, int], *, total: int = DEFAULT_TOTAL
) -> list[dict[str, Any]]:
    """Return the JSON patch that sets the weights that differ, after a test of the version (see `weighted.patch`).

    Parameters and errors are those of `set_weights`; an object without resourceVersion is an error too.
    """
    found = _route(splitter)
    return weighted.patch(splitter, found.label, _changes(found, weights, total))


def _changes(found: Route[Decimal], weights: Mapping[str, int], total: int) -> dict[Path, float]:
    if isinstance(total, bool) or not isinstance(total, int) or total < 1 or STEPS % total:
        raise SpilloverError(f"total must be a divisor of {STEPS} for a {KIND}, got {total!r}")
    found.check_wanted(weights)
    percentages = {key: Decimal(weight) * 100 / total for key, weight in weights.items()}
    return {path: _plain(weight) for path, weight in found.differing(percentages, 100).items()}


def _route(splitter: Mapping[str, Any]) -> Route[Decimal]:
    label = weighted.describe(KIND, splitter)
    splits = (splitter.get("spec") or {}).get("splits") or []
    if not splits:
        raise SpilloverError(f"{label} has no splits")
    own_service = str((splitter.get("metadata") or {}).get("name"))
    keys = [destination_key(split, own_service) for split in splits]
    weights = [_percentage(key, split.get("weight", 0)) for key, split in zip(keys, splits, strict=True)]
    return Route.of(label, Candidate(None, ("spec", "splits"), splits), keys, weights)


def _percentage(key: str, value: object) -> Decimal:
    """Return a weight in force as Consul counts it: rounded to its steps."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise SpilloverError(f"the weight of {key!r} must be a number from 0 to 100, got {value!r}")
    return Decimal(round(value * STEPS / 100)) * 100 / STEPS


def _plain(percentage: Decimal) -> float:
    """Return a percentage as a JSON number, without a fraction where it has none."""
    return int(percentage) if percentage == int(percentage) else float(percentage)
