"""Keeps the access to a site short-lived: the stored token is traded for a working one, and that for the next.

The working token is in memory only. It is renewed when about a third of its life is over, on the monotonic clock and by
the life that the API server granted, so neither a step of the wall clock nor a server with another one matters. While a
renewal fails the token in use stays, and two thirds of its life are left to try again. When it is refused after all,
the client goes back to what is stored (`spillover.clusters.Cluster`), and that is traded again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from spillover.controller.backoff import Backoff
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from threading import Event

    from spillover.clusters import Exchange
    from spillover.controller.edges import Edges

SHORTEST_S, LONGEST_S = 600, 86_400
"""What the API server grants at least, and what its admission policy lets the controller ask for at most."""

_RENEWED_AFTER = 1 / 3
_JITTER = 0.1
"""Several sites and replicas do not stay in step."""

_LOOK_S = 5.0
"""From one look at whether it is time to the next; a refused token is noticed within it."""

_FIRST_BACKOFF_S = 5.0
_LONGEST_BACKOFF_S = 60.0


class TokenApi(Protocol):
    """What is needed of `spillover.clusters.Cluster`."""

    @property
    def exchanged(self) -> bool:
        """Whether a working token is in use, and not what is stored."""
        ...

    def exchange_token(self, life_s: int) -> Exchange | None:
        """Trade the token in use for a new one; None where it is no ServiceAccount's."""
        ...


def renewed_after_s(good_s: float, draw: float) -> float:
    """Return the age in seconds at which a token is renewed that was good for ``good_s``, by a draw from [0, 1)."""
    return good_s * _RENEWED_AFTER * (1.0 + _JITTER * (2.0 * draw - 1.0))


class TokenKeeper:
    """Keeps the token of one site.

    Parameters
    ----------
    site
        Its name, for the log and the metrics.
    cluster
        Its API server.
    life_s
        Seconds for which a working token is asked for.
    edges
        Clocks, log, metrics, chance.
    """

    def __init__(self, site: str, cluster: TokenApi, life_s: int, edges: Edges) -> None:
        self._site = site
        self._cluster = cluster
        self._life_s = life_s
        self._edges = edges
        self._backoff = Backoff(_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S, edges.rng)
        self._due_s = edges.clock()
        self._told = ""

    def run(self, stop: Event) -> None:
        """Keep it until ``stop`` is set."""
        self.turn()
        while not stop.wait(_LOOK_S):
            self.turn()

    def turn(self) -> None:
        """Renew the token if it is time."""
        now_s = self._edges.clock()
        due = now_s >= self._due_s or not self._cluster.exchanged
        if not due or not self._backoff.ready(now_s):
            return
        try:
            exchange = self._cluster.exchange_token(self._life_s)
        except Exception as error:  # noqa: BLE001  whatever it is, the token in use stays, and the next look comes
            self._failed(error)
            return
        if exchange is None:  # a certificate, say: it is used as it is
            return
        self._backoff.succeeded()
        self._told = ""
        # Its life is told from before it was asked for: never longer than the server thinks.
        self._due_s = now_s + renewed_after_s(exchange.good_s, self._edges.rng.random())
        expires_s = self._edges.wall_clock() + exchange.good_s
        self._edges.metrics.renewed(self._site, expires_s, exchange.stored_until_s)
        self._log("token_renewed", good_s=exchange.good_s)

    def _failed(self, error: Exception) -> None:
        self._backoff.failed(self._edges.clock(), getattr(error, "retry_after_s", None))
        # The words of an error that is not ours could hold anything, a credential too.
        why = str(error) if isinstance(error, SpilloverError) else f"an unexpected {type(error).__name__}"
        self._edges.metrics.failed(self._site, "token")
        if why != self._told:
            self._log("token_not_renewed", error=why)
        self._told = why

    def _log(self, event: str, **fields: Any) -> None:
        self._edges.log(event, {"time": self._edges.wall_clock(), "site": self._site, **fields})


def keep_token(site: str, cluster: TokenApi, life_s: int, edges: Edges, stop: Event) -> None:
    """Keep a site's token in a thread of its own, so that one that hangs delays no other, until ``stop`` is set."""
    keeper = TokenKeeper(site, cluster, life_s, edges)
    threading.Thread(target=keeper.run, args=(stop,), name=f"token-{site}", daemon=True).start()
