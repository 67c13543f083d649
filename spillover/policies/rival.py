"""What the policies that we compare with have in common: what they see, and how their fractions become a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.policies.assemble import Draft, decision, usable_links
from spillover.policies.memory import hold_missing, last_split, remember
from spillover.policies.words import sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spillover.model import Decision
    from spillover.policies.layout import Layout
    from spillover.policies.queueing import Bools, Floats


def finish(
    name: str,
    layout: Layout,
    memory: Mapping[str, Any],
    fraction: Floats,
    *,
    why: Sequence[str],
    total: int,
    bucket: Floats | None = None,
) -> tuple[Decision, dict[str, Any]]:
    """Hold origins whose sample is missing, and return the decision and the state with its split.

    Parameters
    ----------
    name : str
        The policy.
    layout : Layout
        The snapshot.
    memory : mapping
        What the policy remembers.
    fraction : array
        Share of its origin's demand by edge, summing to 1 for each origin.
    why : sequence of str
        By origin.
    total : int
        What each origin's weights sum to.
    bucket : array, optional
        Rate kept at home by origin, NaN for none.
    """
    idle = layout.demand <= 0.0
    fraction = hold_missing(layout, np.where(idle[layout.origin], layout.at_home(), fraction), memory)
    held = "its sample is missing, the last split is held"
    why = [held if missing else text for missing, text in zip(layout.missing.tolist(), why, strict=True)]
    draft = Draft(
        fraction=fraction,
        shed=np.zeros(layout.size),
        reasons=lambda: sentences(layout, fraction, why),
        bucket=bucket,
    )
    result = decision(name, layout, draft, total)
    return result, remember(name, result.split)


def reachable(layout: Layout) -> Bools:
    """Return which edges lead to a living site, home included."""
    result = usable_links(layout)
    result[: layout.size] = layout.usable > 0.0
    return result


def observed_load(layout: Layout, memory: Mapping[str, Any]) -> Floats:
    """Return the load that each site has under the last split, all at home before the first."""
    split, known = last_split(layout, memory)
    split = np.where(known[layout.origin], split, layout.at_home())
    return layout.by_destination(split * layout.demand[layout.origin])


def observed_utilisation(layout: Layout, load: Floats) -> Floats:
    """Return the share of the servers that is busy for a period: what arrives and what waits, at most 1."""
    work = load + layout.queue / layout.snapshot.settings.period_s
    return np.where(layout.healthy, np.minimum(work / layout.saturation, 1.0), 0.0)


def observed_number(layout: Layout, load: Floats) -> Floats:
    """Return the requests in each site: what waits and is served now, or the mean of its queue at this load if more.

    It cannot grow by more than arrives in a period, which bounds it where the queue has no mean.
    """
    now = layout.queue + np.minimum(load / layout.server_rps, layout.servers)
    soon = now + load * layout.snapshot.settings.period_s
    return np.clip(layout.marginal(load).number, now, soon)
