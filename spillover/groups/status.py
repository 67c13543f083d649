"""The status of a group: a document out of a verdict and a tick, and when it is worth a write. Pure.

A number that moves by less than 5 % keeps the value that is stored, so noise writes nothing; one that moves by more is
written at most every `NUMBERS_EVERY_S`. What people wait for (conditions, the observed generation) is written at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillover.groups.conditions import Condition, dated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spillover.groups.tick import Tick
    from spillover.groups.verdict import Verdict

NUMBERS_EVERY_S = 10.0

_WORTH_WRITING = 0.05
_NUMBERS = ("demandRpm", "spilledRpm", "gapPercent", "sites")


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
        With a null for each number that nobody knows.
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


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ, for a JSON merge patch (RFC 7386); empty when none does."""
    return {key: _replacing(before.get(key), value) for key, value in after.items() if before.get(key) != value}


def only_numbers(patch: Mapping[str, Any]) -> bool:
    """Whether the patch can wait."""
    return patch.keys() <= set(_NUMBERS)


def _numbers(tick: Tick | None, before: Mapping[str, Any]) -> dict[str, Any]:
    if tick is None:
        return dict.fromkeys(_NUMBERS)
    stored = {site.get("name"): site for site in before.get("sites") or []}
    sites = []
    for name in sorted(tick.demand_rpm):
        old = stored.get(name, {})
        demand = _settled(old.get("demandRpm"), tick.demand_rpm[name])
        spilled = _settled(old.get("spilledRpm"), tick.spilled_rpm[name])
        known = {"demandRpm": demand, "spilledRpm": spilled}
        sites.append({"name": name} | {key: value for key, value in known.items() if value is not None})
    return {
        "demandRpm": _settled(before.get("demandRpm"), _sum(tick.demand_rpm)),
        "spilledRpm": _settled(before.get("spilledRpm"), _sum(tick.spilled_rpm)),
        "gapPercent": _settled(before.get("gapPercent"), None if tick.gap is None else 100.0 * tick.gap),
        "sites": sites,
    }


def _replacing(old: Any, new: Any) -> Any:
    """Return what turns one object into another: a merge patch merges, so what the new one leaves out is a null."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {key: _replacing(old.get(key), value) for key, value in new.items()} | dict.fromkeys(old.keys() - new.keys())


def _sum(rates: Mapping[str, float | None]) -> float | None:
    """Return the sum of what is known; None when nothing is."""
    known = [rate for rate in rates.values() if rate is not None]
    return sum(known) if known else None


def _settled(stored: float | None, value: float | None) -> float | None:
    """Return the value to three digits, or the one that is stored where it differs by too little."""
    if value is None or stored is None:
        return None if value is None else _rounded(value)
    if abs(value - stored) <= _WORTH_WRITING * abs(stored):
        return stored
    return _rounded(value)


def _rounded(value: float) -> float:
    """Return three significant digits, as a whole number where it is one: that is how the API server returns it."""
    short = float(f"{value:.3g}")
    return int(short) if short.is_integer() else short
