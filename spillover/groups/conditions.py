"""The conditions of a group: what can be told of it honestly, in the words of Kubernetes. Pure.

``Accepted``
    The newest spec is in force, or would be if the group were not paused.
``Ready``
    A controller follows the newest spec, has known every site's demand, decides, and has its numbers at every site.
``MetricsAvailable``
    The demand of every site is known now.
``Saturated``
    All sites together cannot serve the demand.
``OverflowSupported``
    Every site that was looked at can overflow; one that cannot is led by weights. Unknown in weights mode.
``Propagated``
    Wherever weights lead, and it can be told, the requests go as the stored weights say. Unknown where numbers lead:
    whether the proxies keep to rates and limits is not observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spillover.groups.tick import Tick
    from spillover.groups.verdict import Verdict

_LONGEST_MESSAGE = 1024
"""What the schema takes."""

STARTING = "Starting"
PAUSED = "Paused"

_BAD = {
    "Accepted": "False",
    "Ready": "False",
    "MetricsAvailable": "False",
    "Saturated": "True",
    "OverflowSupported": "False",
    "Propagated": "False",
}
"""The status that is bad."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition without its times.

    Parameters
    ----------
    type, status, reason, message : str
        As in Kubernetes; the status is ``True``, ``False`` or ``Unknown``.
    """

    type: str
    status: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """A condition that has another status than before, which is worth an event.

    Parameters
    ----------
    condition : Condition
        As it is now.
    warning : bool
        Whether it is bad.
    """

    condition: Condition
    warning: bool


def conditions(verdict: Verdict, tick: Tick | None) -> list[Condition]:
    """Return the conditions of a group.

    Parameters
    ----------
    verdict
        What became of its spec.
    tick
        What its controller saw last; None when it has none, or has not decided yet.
    """
    accepted = Condition("Accepted", "True", "Valid", "the newest spec is accepted")
    if verdict.refused:
        accepted = Condition("Accepted", "False", verdict.refused, f"{verdict.message}; {_kept(verdict)}")
    return [accepted, _ready(verdict, tick), *_observed(verdict, tick)]


def dated(
    found: Sequence[Condition], before: Sequence[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """Return conditions as they are stored: the time of the last change of status is kept where there was none.

    Parameters
    ----------
    found
        As they are now.
    before
        As they are stored.
    generation
        What they speak of.
    now
        RFC 3339.
    """
    stored = {condition.get("type"): condition for condition in before}
    result = []
    for condition in found:
        old = stored.get(condition.type, {})
        same = old.get("status") == condition.status and old.get("lastTransitionTime")
        result.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": _short(condition.message),
                "lastTransitionTime": old["lastTransitionTime"] if same else now,
                "observedGeneration": generation,
            }
        )
    return result


def transitions(found: Sequence[Condition], before: Sequence[Mapping[str, Any]]) -> list[Transition]:
    """Return what is worth an event: a status that changed, and another reason while things are bad.

    A start is not: what is not known yet, and what turns out to be well after it.
    """
    stored = {condition.get("type"): condition for condition in before}
    result = []
    for condition in found:
        old = stored.get(condition.type, {})
        bad = condition.status == _BAD[condition.type]
        same = old.get("status") == condition.status and (not bad or old.get("reason") == condition.reason)
        starts = condition.reason == STARTING or condition.status == "Unknown"
        was_unknown = old.get("status", "Unknown") == "Unknown"
        if not same and not starts and (bad or not was_unknown):
            result.append(Transition(condition, bad and condition.reason != PAUSED))
    return result


def _ready(verdict: Verdict, tick: Tick | None) -> Condition:
    why = _not_ready(verdict, tick)
    return (
        Condition("Ready", "True", "Controlling", "the newest spec is followed at every site") if why is None else why
    )


def _not_ready(verdict: Verdict, tick: Tick | None) -> Condition | None:
    if verdict.group.paused:
        return Condition("Ready", "False", PAUSED, "nothing is written; the proxies go on with the last numbers")
    if verdict.refused:
        return Condition("Ready", "False", "NotAccepted", f"the newest spec is not accepted; {_kept(verdict)}")
    if tick is None or not tick.complete:
        waiting = f": {', '.join(tick.missing)}" if tick is not None else ""
        return Condition("Ready", "False", STARTING, f"the demand of every site has to be known first{waiting}")
    if tick.saturated is None:
        return Condition("Ready", "False", "Undecided", "the policy has no decision; the controller's log says why")
    if tick.problems:
        words = "; ".join(f"{site}: {why}" for site, why in sorted(tick.problems.items()))
        return Condition("Ready", "False", "NotWritten", words)
    return None


def _observed(verdict: Verdict, tick: Tick | None) -> list[Condition]:
    if tick is None:
        reason = PAUSED if verdict.group.paused else "NotControlled"
        return [Condition(name, "Unknown", reason) for name in list(_BAD)[2:]]
    metrics = Condition("MetricsAvailable", "True", "Read", "the demand of every site is known")
    if tick.missing:
        metrics = Condition(
            "MetricsAvailable", "False", "Missing", f"the demand is not known: {', '.join(tick.missing)}"
        )
    saturated = {
        True: Condition("Saturated", "True", "DemandAboveCapacity", "all sites together cannot serve the demand"),
        False: Condition("Saturated", "False", "DemandBelowCapacity", "all sites together can serve the demand"),
        None: Condition("Saturated", "Unknown", "Undecided"),
    }
    return [
        metrics,
        saturated[tick.saturated],
        _of_sites("OverflowSupported", tick.overflow_supported, "ObjectsFound", "ObjectsAbsent"),
        _of_sites("Propagated", tick.propagated, "SplitAsTold", "SplitDiffers"),
    ]


def _of_sites(name: str, found: Mapping[str, str], well: str, bad: str) -> Condition:
    """Return a condition that is false when it is false at any site, and names those."""
    words = "; ".join(f"{site}: {why}" for site, why in sorted(found.items()) if why)
    if words:
        return Condition(name, "False", bad, words)
    return Condition(name, "True", well) if found else Condition(name, "Unknown", "NotKnown")


def _kept(verdict: Verdict) -> str:
    if verdict.in_force is None:
        return "nothing is in force"
    return f"generation {verdict.in_force.generation} stays in force"


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 3]}..."
