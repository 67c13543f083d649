"""Which groups are accepted, and what is in force for each. Pure.

A spec is accepted if it can be read and translated and no older group writes one of its applications. Where the newest
spec of a group is not accepted, what was in force stays: known from this process, or after a start from the copy in the
group's own status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spillover.groups.resource import Group, parse_spec
from spillover.groups.translation import Claim, Means, claims, translate
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spillover.controller.config import ControllerConfig


@dataclass(frozen=True, slots=True)
class InForce:
    """A spec that was accepted.

    Parameters
    ----------
    generation : int
        Of the group, when it had this spec.
    spec : mapping
        As it was stored.
    config : ControllerConfig
        What it stands for.
    claims : frozenset of Claim
        What its controller writes.
    """

    generation: int
    spec: Mapping[str, Any]
    config: ControllerConfig
    claims: frozenset[Claim]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a group.

    Parameters
    ----------
    group : Group
        As it was read.
    refused : str
        Why its newest spec is not accepted, in one word; empty when it is.
    message : str
        The same in a sentence.
    in_force : InForce, optional
        What its controller does; None when no spec was ever accepted, or none can be kept.
    """

    group: Group
    refused: str = ""
    message: str = ""
    in_force: InForce | None = None

    @property
    def runs(self) -> bool:
        """Whether there is a controller for it."""
        return self.in_force is not None and not self.group.paused


class _RefusedError(SpilloverError):
    """A spec that is not accepted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def judge(
    groups: Iterable[Group],
    means: Means,
    before: Mapping[str, InForce],
) -> dict[str, Verdict]:
    """Judge all groups together, the oldest first.

    Parameters
    ----------
    groups
        All that there are.
    means
        What they may ask for.
    before
        What was in force until now, by uid.

    Returns
    -------
    dict of str to Verdict
        By uid. No two have a claim in common.
    """
    holders: dict[Claim, Group] = {}
    verdicts = {}
    for group in sorted(groups, key=lambda group: group.age_order):
        verdict = _judged(group, means, before.get(group.uid), holders)
        verdicts[group.uid] = verdict
        if verdict.in_force is not None:
            holders |= dict.fromkeys(verdict.in_force.claims, group)
    return verdicts


def _judged(
    group: Group,
    means: Means,
    before: InForce | None,
    holders: Mapping[Claim, Group],
) -> Verdict:
    try:
        return Verdict(group, in_force=_accepted(group.generation, group.spec, means, holders))
    except _RefusedError as error:
        reason, message = error.reason, str(error)
    kept = before if before is not None else _remembered(group, means, holders)
    if kept is not None and kept.claims & holders.keys():
        kept = None
    return Verdict(group, reason, message, kept)


def _accepted(
    generation: int,
    spec: Mapping[str, Any],
    means: Means,
    holders: Mapping[Claim, Group],
) -> InForce:
    try:
        parsed = parse_spec(spec)
        found = InForce(generation, spec, translate(parsed, means), claims(parsed, means.servers))
    except SpilloverError as error:
        raise _RefusedError("Invalid", str(error)) from None
    for claim in sorted(found.claims & holders.keys()):
        raise _RefusedError("Conflict", f"{claim} is written by the older group {holders[claim]}")
    return found


def _remembered(group: Group, means: Means, holders: Mapping[Claim, Group]) -> InForce | None:
    """Return what the group's own status says was accepted, if it can still be done."""
    kept = group.status.get("accepted") or {}
    try:
        return _accepted(int(kept.get("generation") or 0), kept.get("spec") or {}, means, holders)
    except _RefusedError:
        return None
