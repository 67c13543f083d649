"""Structured logs: one JSON object a line, the event's name first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spillover.controller.edges import Log


def json_log(stream: TextIO) -> Log:
    """Return a log that writes whole lines to the stream; it may be called from several threads."""
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[structlog.processors.JSONRenderer(serializer=_event_first)],
        wrapper_class=structlog.BoundLogger,
    )

    def log(event: str, fields: Mapping[str, Any]) -> None:
        logger.info(event, **fields)

    return log


def _event_first(entry: Mapping[str, Any], **_: Any) -> str:
    # NaN and Infinity are no JSON: a reader of the log would stop at them, so they must not get this far.
    return json.dumps({"event": entry["event"], **entry}, allow_nan=False, default=str)
