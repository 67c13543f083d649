"""How long to leave a failing API server alone: exponential, with full bounds and jitter, on the monotonic clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class Backoff:
    """Delay after n failures in a row: min(most_s, first_s * 2^(n-1)), times a draw from [0.5, 1).

    The jitter keeps several controllers or sites from coming back in step.

    Parameters
    ----------
    first_s, most_s
        Delay in seconds after the first failure, and its limit.
    rng
        Source of the jitter.
    """

    def __init__(self, first_s: float, most_s: float, rng: Random) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._rng = rng
        self._failures = 0
        self._until_s = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def ready(self, now_s: float) -> bool:
        """Whether the next attempt may be made."""
        return not self.failing or now_s >= self._until_s

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next attempt may be made."""
        return max(0.0, self._until_s - now_s) if self.failing else 0.0

    def failed(self, now_s: float, retry_after_s: float | None = None) -> None:
        """Note a failure; a wait that the server asked for is honoured if it is longer, up to ten times the limit."""
        self._failures += 1
        delay_s = min(self._most_s, self._first_s * 2.0 ** min(self._failures - 1, 30))
        delay_s *= self._rng.uniform(0.5, 1.0)
        self._until_s = now_s + max(delay_s, min(retry_after_s or 0.0, 10.0 * self._most_s))

    def succeeded(self) -> None:
        """Note a success."""
        self._failures = 0
