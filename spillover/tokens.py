"""What a ServiceAccount's token says of itself. Pure: nothing is verified here, which is the API server's business."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

_SUBJECT = ["system", "serviceaccount"]


@dataclass(frozen=True, slots=True)
class Claims:
    """Whose a token is, and for how long.

    Parameters
    ----------
    namespace, name : str
        The ServiceAccount.
    expires_s : float, optional
        Unix seconds; None for a token that never expires.
    """

    namespace: str
    name: str
    expires_s: float | None = None


def claims_of(token: str) -> Claims | None:
    """Return what the token says, or None if it is no ServiceAccount's."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(f"{parts[1]}=="))
        *subject, namespace, name = claims["sub"].split(":")
        expires_s = claims.get("exp")
        if subject != _SUBJECT:
            return None
        return Claims(namespace, name, None if expires_s is None else float(expires_s))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
