"""Settings of the service, read from the environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


PROTOCOLS = ("http", "grpc")


class SettingsError(ValueError):
    """A variable of the environment holds a value that cannot be used."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose.

    Parameters
    ----------
    site_name
        ``SITE_NAME``: named in every answer's ``x-served-by``.
    host, port
        ``HOST`` and ``PORT``: where to listen.
    workers
        ``WORKERS``: threads that make thumbnails; with a limit of less than one processor one is right.
    max_body_bytes
        ``MAX_BODY_BYTES``: a larger body is answered with 413.
    max_pixels
        ``MAX_PIXELS``: a larger image is answered with 413; it bounds the memory of a decoded image (3 bytes a pixel).
    protocol
        ``PROTOCOL``: ``http`` for thumbnails, ``grpc`` for an echo.
    drain_s
        ``DRAIN_S``: how long SIGTERM waits for requests in flight, in seconds. Short: a full queue would take minutes.
    """

    site_name: str = "unknown"
    host: str = "0.0.0.0"  # noqa: S104 (a pod listens on its own address, whatever that is)
    port: int = 8080
    workers: int = 1
    max_body_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 24_000_000
    protocol: str = "http"
    drain_s: int = 5

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings, with the defaults above for what is not set.

        Raises
        ------
        SettingsError
            Names the variable and the value that cannot be used.
        """
        default = cls()
        return cls(
            site_name=environ.get("SITE_NAME") or default.site_name,
            host=environ.get("HOST") or default.host,
            port=_whole_number(environ, "PORT", default.port, 1, 65535),
            workers=_whole_number(environ, "WORKERS", default.workers, 1, 64),
            max_body_bytes=_whole_number(environ, "MAX_BODY_BYTES", default.max_body_bytes, 1, 1 << 30),
            max_pixels=_whole_number(environ, "MAX_PIXELS", default.max_pixels, 1, 1 << 30),
            protocol=_one_of(environ, "PROTOCOL", default.protocol, PROTOCOLS),
            drain_s=_whole_number(environ, "DRAIN_S", default.drain_s, 0, 3600),
        )


def _one_of(environ: Mapping[str, str], name: str, default: str, known: tuple[str, ...]) -> str:
    text = environ.get(name) or default
    if text not in known:
        raise SettingsError(f"{name} must be one of {', '.join(known)}, got {text!r}")
    return text


def _whole_number(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, got {text!r}")
    return int(text)
