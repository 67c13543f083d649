"""What is known of each site beside its demand: whether it can overflow, and whether what was told is in force.

Each is a sentence by site that says why not, empty where it is so; a site of which nobody knows is absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spillover.controller.metrics import OVERFLOW_SUPPORTED, PROPAGATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.edges import Edges

_NOT = {OVERFLOW_SUPPORTED: "overflow_not_supported", PROPAGATED: "not_propagated"}


class Conditions:
    """Remembers what was said, and says each change once.

    Parameters
    ----------
    edges
        Clocks, log, metrics.
    """

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._said: dict[tuple[str, str], bool] = {}
        self.known: Mapping[str, Mapping[str, str]] = {}

    def update(self, sites: Mapping[str, Any], **known: Mapping[str, str]) -> None:
        """Take what is known now, by condition and site; a change from well to bad or back is one event of the log."""
        self.known = known
        for condition, found in known.items():
            for site in sites:
                self._edges.metrics.judged(condition, site, found.get(site))
            for site, why in found.items():
                well = not why
                if self._said.get((condition, site), True) != well:
                    fields = {"time": self._edges.wall_clock(), "site": site}
                    self._edges.log(condition if well else _NOT[condition], fields | ({} if well else {"why": why}))
                self._said[condition, site] = well

    def of(self, site: str) -> dict[str, dict[str, str]]:
        """Return what is known of a site, as its status shows it."""
        return {condition: _shown(found.get(site)) for condition, found in self.known.items()}


def _shown(why: str | None) -> dict[str, str]:
    if why is None:
        return {"status": "Unknown", "message": ""}
    return {"status": "False" if why else "True", "message": why}
