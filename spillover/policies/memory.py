"""What a policy remembers of its last split, and how a held split is brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Bools, Floats


_WHOLE = 1.0 + 1e-6


def recall(policy: str, state: object) -> dict[str, Any]:
    """Return the state if this policy wrote it, else an empty one.

    Raises
    ------
    SpilloverError
        If the state is not an object.
    """
    if state is None:
        return {}
    if not isinstance(state, dict):
        raise SpilloverError(f"the state must be an object, got {state!r}")
    return state if state.get("policy") == policy else {}


def last_split(layout: Layout, memory: Mapping[str, Any]) -> tuple[Floats, Bools]:
    """Return the remembered fractions by edge, with dead destinations removed, and which origins have any.

    What went to a destination that is dead or no longer linked is spread over the others in proportion.

    Raises
    ------
    SpilloverError
        If the remembered split is not a mapping of mappings of fractions.
    """
    split = memory.get("split", {})
    if split == {}:
        return np.zeros(len(layout.origin)), np.zeros(layout.size, dtype=bool)
    place = {name: index for index, name in enumerate(layout.names)}
    origins: list[int] = []
    peers: list[int] = []
    values: list[float] = []
    if not isinstance(split, dict):
        raise SpilloverError(f"state.split must be an object, got {split!r}")
    for origin, shares in split.items():
        if not isinstance(shares, dict):
            raise SpilloverError(f"state.split.{origin} must be an object, got {shares!r}")
        here = place.get(origin)
        if here is None:
            continue
        for peer, value in shares.items():
            there = place.get(peer)
            if there is not None:
                origins.append(here)
                peers.append(there)
                values.append(value)
    fraction = _by_edge(layout, origins, peers, values)
    fraction[layout.usable[layout.destination] <= 0.0] = 0.0
    whole = layout.by_origin(fraction)
    known = whole > 0.0
    # A whole that is 1 but for the last bit stays as it is: what is held must come out unchanged.
    whole = np.where(known & (np.abs(whole - 1.0) > 1e-9), whole, 1.0)
    return fraction / whole[layout.origin], known


def _by_edge(layout: Layout, origins: list[int], peers: list[int], values: list[Any]) -> Floats:
    """Return values of pairs of sites by edge, 0 where there is none; a pair without a link is left out."""
    edges = layout.origin * layout.size + layout.destination
    order = np.argsort(edges, kind="stable")
    pairs = np.array(origins, dtype=np.int64) * layout.size + np.array(peers, dtype=np.int64)
    found = order[np.minimum(np.searchsorted(edges, pairs, sorter=order), len(edges) - 1)]
    linked = edges[found] == pairs
    try:
        numbers = np.array(values, dtype=float)
        plain = set(map(type, values)) <= {int, float} and bool(((numbers >= 0.0) & (numbers <= _WHOLE))[linked].all())
    except (TypeError, ValueError, OverflowError):
        plain = False
    if not plain:
        for index in np.flatnonzero(linked).tolist():
            values[index] = _fraction(layout.names[origins[index]], layout.names[peers[index]], values[index])
        numbers = np.array(
            [value if one else 0.0 for value, one in zip(values, linked.tolist(), strict=True)], dtype=float
        )
    fraction = np.zeros(len(edges))
    fraction[found[linked]] = numbers[linked]
    return fraction


def _fraction(origin: str, peer: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= _WHOLE:
        raise SpilloverError(f"state.split.{origin}.{peer} must be a fraction, got {value!r}")
    return float(value)


def hold_missing(layout: Layout, fraction: Floats, memory: Mapping[str, Any]) -> Floats:
    """Replace the fractions of origins whose sample is missing by the remembered ones, or by home if there are none."""
    if not layout.missing.any():
        return fraction
    held, known = last_split(layout, memory)
    held = np.where(known[layout.origin], held, layout.at_home())
    return np.where(layout.missing[layout.origin], held, fraction)


def remember(policy: str, split: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the state that ``recall`` and ``last_split`` read."""
    return {"policy": policy, "split": {origin: dict(shares) for origin, shares in split.items()}}
