"""How an object of a site's Kubernetes API is named, and the epoch that stands on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

EPOCH_ANNOTATION = "spillover.dev/epoch"
"""The epoch of the last leader that claimed the object; absent where no leader ever has."""

_EPOCH = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
"""Nine digits leave room below the largest ``leaseTransitions``, so that a leader can always go beyond."""


class ObjectRef(NamedTuple):
    """A namespaced object.

    Parameters
    ----------
    api_version : str
        ``group/version``.
    plural : str
        Its kind, as in the API's path.
    namespace, name : str
        Where it is.
    """

    api_version: str
    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return it as in a sentence."""
        return f"{self.plural}.{self.api_version.partition('/')[0]} {self.namespace}/{self.name}"


def read_epoch(stored: Mapping[str, Any]) -> int:
    """Return the epoch that stands on an object; 0 when none does, or what stands there is none."""
    text = (stored["metadata"].get("annotations") or {}).get(EPOCH_ANNOTATION, "")
    return int(text) if _EPOCH.fullmatch(text) else 0
