"""The policies: one policy, one file, one signature.

``decide(snapshot, state, *, total)`` is a pure function: what it must remember goes out as a JSON-able state and comes
back in at the next call. No clock, no randomness, no input or output.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from spillover.model import Decision, Snapshot

State = dict[str, Any]
"""What a policy remembers between two periods: plain JSON, opaque to everyone else."""

_MODULES = {
    "local": "local",
    "static": "static",
    "paper": "paper",
    "failover": "failover",
    "waterfall": "waterfall",
    "band": "band",
    "l3": "l3",
    "load-aware-locality": "load_aware_locality",
    "cooperative": "cooperative",
}
NAMES = tuple(_MODULES)
DEFAULT = "cooperative"


class Policy(Protocol):
    """A rule from a snapshot to a decision."""

    def __call__(self, snapshot: Snapshot, state: State | None, *, total: int = 100) -> tuple[Decision, State]:
        """Decide for one period.

        Parameters
        ----------
        snapshot : Snapshot
            What the sites look like now.
        state : dict or None
            What this policy returned a period ago; None at the first call. The state of another policy is ignored.
        total : int
            What each origin's integer weights sum to.

        Returns
        -------
        tuple of Decision and dict
            The decision, and the state to pass in at the next call.
        """


def get(name: str) -> Policy:
    """Return the policy of that name.

    Raises
    ------
    SpilloverError
        If there is none; the sentence names those that exist.
    """
    if name not in _MODULES:
        raise SpilloverError(f"policy must be one of {', '.join(NAMES)}, got {name!r}")
    return cast("Policy", import_module(f"spillover.policies.{_MODULES[name]}").decide)
