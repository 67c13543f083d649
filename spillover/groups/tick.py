"""What one tick of a group's controller says about the group, out of the fields that the loop logs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from spillover.controller.writer import LEFT_ALONE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Tick:
    """A group as its controller saw it last.

    Parameters
    ----------
    leading : bool
        Whether this process leads.
    demand_rpm : mapping of str to float or None
        By site; None is missing.
    spilled_rpm : mapping of str to float or None
        What the decision sends away, by site.
    saturated : bool, optional
        Whether all sites together cannot serve the demand; None when there was no decision.
    problems : mapping of str to str
        Why a site may not have what it should.
    complete : bool
        Whether the demand of every site has been known at some time.
    gap : float, optional
        By how much the predicted mean latency is above the lower bound, as a share; None when nobody says.
    overflow_supported, propagated : mapping of str to str
        By site, as `spillover.controller.conditions` has it: why not; empty where it is so; absent where nobody knows.
    """

    leading: bool
    demand_rpm: Mapping[str, float | None]
    spilled_rpm: Mapping[str, float | None]
    saturated: bool | None
    problems: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    gap: float | None = None
    overflow_supported: Mapping[str, str] = field(default_factory=dict)
    propagated: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: Mapping[str, Any], before: Self | None) -> Self:
        """Read the fields of the log's event ``tick``, given what the one before it said."""
        demand = dict(fields["demand_rpm"])
        known = before.problems if before is not None else {}
        return cls(
            leading=fields["leading"],
            demand_rpm=demand,
            spilled_rpm={name: _spilled(name, rate, fields["weights"].get(name)) for name, rate in demand.items()},
            saturated=fields["saturated"],
            # A site that is left alone for a moment has the problem that it had before.
            problems={
                name: known.get(name, why) if why == LEFT_ALONE else why for name, why in fields["problems"].items()
            },
            complete=(before is not None and before.complete) or None not in demand.values(),
            gap=fields.get("gap"),
            overflow_supported=fields.get("overflow_supported", {}),
            propagated=fields.get("propagated", {}),
        )

    @property
    def missing(self) -> list[str]:
        """Sites whose demand is not known."""
        return sorted(name for name, rate in self.demand_rpm.items() if rate is None)


def _spilled(name: str, demand_rpm: float | None, weights: Mapping[str, int] | None) -> float | None:
    if demand_rpm is None or not weights or not (total := sum(weights.values())):
        return None
    return demand_rpm * (total - weights.get(name, 0)) / total
