"""What to send: the content of load.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from spillover.validation import Strict, parse, read_json

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_S = 3600
LONGEST_TIMEOUT_S = 600
MOST_REQUESTS = 200_000


class Step(Strict):
    """From `from_s` on, `rps` requests per second arrive, until the next step or the end."""

    from_s: float = Field(ge=0)
    rps: float = Field(ge=0)


class Stream(Strict):
    """The requests of one origin.

    Parameters
    ----------
    origin
        Name of the site whose ingress the requests enter; the key of the results.
    url
        Scheme, address and port of that ingress, such as ``http://198.19.0.11:30080``.
    path
        Path and query of every request.
    host
        Host header; None means the address of `url`.
    arrivals
        ``poisson`` or ``even``: open loop, as `steps` say. ``closed``: `users` that send one request after the other.
    seed
        Of the arrival times; the same seed gives the same times.
    users
        Number of users of a closed stream.
    steps
        Rates of an open stream, in order of time; nothing arrives before the first.
    """

    origin: str = Field(min_length=1)
    url: str = Field(min_length=1)
    path: str = Field(default="/", pattern=r"^/\S*$")
    host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.:\[\]-]+$")
    arrivals: Literal["poisson", "even", "closed"] = "poisson"
    seed: int = Field(default=0, ge=0)
    users: int | None = Field(default=None, ge=1, le=1000)
    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.arrivals == "closed":
            if self.users is None:
                raise ValueError("users must be given where arrivals is closed, got none")
            if self.steps:
                raise ValueError("steps must not be given where arrivals is closed")
        elif self.users is not None:
            raise ValueError(f"users must not be given where arrivals is {self.arrivals}, got {self.users}")
        elif not self.steps:
            raise ValueError(f"steps must be given where arrivals is {self.arrivals}, got none")
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            if after.from_s <= before.from_s:
                raise ValueError(f"steps must be in order of time, got from_s {after.from_s:g} after {before.from_s:g}")
        return self


class LoadPlan(Strict):
    """A whole run.

    Parameters
    ----------
    streams
        Who sends.
    duration_s
        Requests start in [0, duration_s).
    timeout_s
        A request without a whole answer after this time is an error, and its latency is this time.
    max_requests
        The hard stop in count: no more than this are sent, all streams together.
    drain_s
        The hard stop in time: at duration_s + drain_s everything still open is cut. At least `timeout_s`, so that
        a request's own timeout comes first.
    """

    streams: tuple[Stream, ...] = Field(min_length=1)
    duration_s: float = Field(gt=0, le=LONGEST_S)
    timeout_s: float = Field(default=120, gt=0, le=LONGEST_TIMEOUT_S)
    max_requests: int = Field(default=20_000, ge=1, le=MOST_REQUESTS)
    drain_s: float = Field(default=130, le=2 * LONGEST_TIMEOUT_S)

    @model_validator(mode="after")
    def _timeout_comes_first(self) -> Self:
        if self.drain_s < self.timeout_s:
            raise ValueError(f"drain_s must be at least timeout_s ({self.timeout_s:g}), got {self.drain_s:g}")
        return self

    @classmethod
    def from_file(cls, path: Path) -> LoadPlan:
        """Read load.json.

        Raises
        ------
        SpilloverError
            If the file cannot be read, is not JSON, or a field is wrong; one sentence.
        """
        return cls.from_dict(read_json(path), source=str(path))

    @classmethod
    def from_dict(cls, data: object, *, source: str = "load plan") -> LoadPlan:
        """Validate a plan that was read already; raises SpilloverError like `from_file`."""
        return parse(cls, data, source=source)
