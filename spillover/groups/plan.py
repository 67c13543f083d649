"""What to stop and what to start when the set of groups changes. Pure.

A controller that was told to stop goes on until its step under way is finished. Until then nothing begins that writes
the same application, so at no moment do two controllers of this process write one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.config import ControllerConfig
    from spillover.groups.translation import Claim
    from spillover.groups.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Running:
    """A controller that has not ended.

    Parameters
    ----------
    config : ControllerConfig
        What it was told.
    claims : frozenset of Claim
        What it writes.
    stopping : bool
        Whether it was told to stop.
    """

    config: ControllerConfig
    claims: frozenset[Claim]
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now; what has to wait is planned again once something has ended.

    Parameters
    ----------
    stop, start : tuple of str
        Groups by uid.
    """

    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()


def plan(verdicts: Mapping[str, Verdict], running: Mapping[str, Running]) -> Plan:
    """Compare what should run with what does.

    Parameters
    ----------
    verdicts
        By uid, from `spillover.groups.verdict.judge`: no two have a claim in common.
    running
        By uid.
    """
    wanted = {uid: verdict.in_force for uid, verdict in verdicts.items() if verdict.runs and verdict.in_force}
    stop = [
        uid
        for uid, it in running.items()
        if not it.stopping and (uid not in wanted or (it.config, it.claims) != (wanted[uid].config, wanted[uid].claims))
    ]
    taken = {claim for it in running.values() for claim in it.claims}
    start = [uid for uid, found in wanted.items() if uid not in running and not taken & found.claims]
    return Plan(tuple(sorted(stop)), tuple(sorted(start)))
