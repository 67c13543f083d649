"""The status of a group: a document out of a verdict and a tick, and when it is worth a write. Pure.

A number that moves by less than 5 % keeps the value that is stored, so noise writes nothing; one that moves by more is
written at most every `NUMBERS_EVERY_S`. What people wait for (conditions, the observed generation) is written at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillover.groups.conditions import Condition, dated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from spillover.groups.tick import Tick
    from spillover.groups.verdict import Verdict

NUMBERS_EVERY_S = 10.0

_WORTH_WRITING = 0.05
_NUMBERS = frozenset({"demandRpm", "spilledRpm", "gapPercent", "sites"})


def document(
    verdict: Verdict, tick: Tick | None, found: Sequence[Condition], before: Mapping[str, Any], now: str
) -> dict[str, Any]:
    """Return the status that a group should have.

    Parameters
    ----------
    verdict, tick
        As for `spillover.groups.conditions.conditions`.
    found
        Its conditions.
    before
        The status that is stored.
    now
        RFC 3339.

    Returns
    -------
    dict
        Without the numbers that nobody knows.
    """
    generation = verdict.group.generation
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": dated(found, before.get("conditions") or [], generation, now),
        **_numbers(tick, before),
    }
    if verdict.in_force is not None:
        status["accepted"] = {"generation": verdict.in_force.generation, "spec": dict(verdict.in_force.spec)}
    return status


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the names of the fields that differ."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def can_wait(names: AbstractSet[str]) -> bool:
    """Whether these fields are such as nobody waits for."""
    return names <= _NUMBERS


def _numbers(tick: Tick | None, before: Mapping[str, Any]) -> dict[str, Any]:
    if tick is None:
        return {}
    stored = {site.get("name"): site for site in before.get("sites") or []}
    sites = [
        {"name": name} | _known(stored.get(name, {}), demandRpm=rate_rpm, spilledRpm=tick.spilled_rpm[name])
        for name, rate_rpm in sorted(tick.demand_rpm.items())
    ]
    gap = None if tick.gap is None else 100.0 * tick.gap
    totals = _known(before, demandRpm=_sum(tick.demand_rpm), spilledRpm=_sum(tick.spilled_rpm), gapPercent=gap)
    return totals | {"sites": sites}


def _known(stored: Mapping[str, Any], **values: float | None) -> dict[str, Any]:
    """Return the numbers that there are, settled."""
    return {name: _settled(stored.get(name), value) for name, value in values.items() if value is not None}


def _sum(rates: Mapping[str, float | None]) -> float | None:
    """Return the sum of what is known; None when nothing is."""
    known = [rate for rate in rates.values() if rate is not None]
    return sum(known) if known else None


def _settled(stored: float | None, value: float) -> float:
    """Return the value to three digits, or the one that is stored where it differs by too little."""
    if stored is not None and abs(value - stored) <= _WORTH_WRITING * abs(stored):
        return stored
    return _rounded(value)


def _rounded(value: float) -> float:
    """Return three significant digits, as a whole number where it is one: that is how the API server returns it."""
    short = float(f"{value:.3g}")
    return int(short) if short.is_integer() else short
