"""``local``: everything stays where it entered. No balancing at all, the comparison for everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spillover.policies.assemble import Draft, decision
from spillover.policies.layout import Layout
from spillover.policies.words import sentences

if TYPE_CHECKING:
    from spillover.model import Decision, Snapshot
    from spillover.policies import State


def decide(snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
    """Keep all demand at home, even where the application is dead (see ``spillover.policies.Policy``)."""
    del state  # local remembers nothing
    layout = Layout.of(snapshot)
    fraction = np.zeros(len(layout.origin))
    fraction[: layout.size] = 1.0
    draft = Draft(
        fraction=fraction,
        shed=np.zeros(layout.size),
        reasons=lambda: sentences(layout, fraction, ["this policy never spills"] * layout.size),
        spills=False,
    )
    return decision("local", layout, draft, total), {"policy": "local"}
