"""Where load may go: the lab's own addresses and loopback, nothing else."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable

# 198.18.0.0/15 is set aside for benchmarks (RFC 2544); the lab lies in it.
ALLOWED = tuple(ipaddress.ip_network(net) for net in ("198.18.0.0/15", "127.0.0.0/8", "::1/128"))


def resolve_host(host: str) -> list[str]:
    """Ask the system for every address of a name."""
    return sorted({str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})


def allowed_url(url: str, resolve: Callable[[str], list[str]] = resolve_host) -> str:
    """Check a target, and pin it to an address, so that what was checked is what is called.

    Parameters
    ----------
    url
        Scheme, host and port: ``http://HOST[:PORT]``.
    resolve
        From a host to its addresses.

    Returns
    -------
    str
        The same URL with the host replaced by its first address.

    Raises
    ------
    SpilloverError
        If the URL is not of that form, the host is not known, or any of its addresses is outside `ALLOWED`.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or 80
    except ValueError:
        raise SpilloverError(f"url must have a port from 1 to 65535, got {url!r}") from None
    if (
        parts.scheme != "http"
        or not parts.hostname
        or parts.path not in {"", "/"}
        or parts.query
        or "@" in parts.netloc
    ):
        raise SpilloverError(f"url must be of the form http://HOST:PORT, got {url!r}")
    try:
        addresses = [ipaddress.ip_address(parts.hostname)]
    except ValueError:
        try:
            addresses = [ipaddress.ip_address(address) for address in resolve(parts.hostname)]
        except OSError as error:
            raise SpilloverError(f"url must name a host that can be resolved, got {url!r}: {error}") from error
    for address in addresses:
        if not any(address in net for net in ALLOWED):
            nets = ", ".join(str(net) for net in ALLOWED)
            raise SpilloverError(f"load goes only to {nets}, and {url!r} is {address}")
    first = addresses[0]
    return f"http://[{first}]:{port}" if first.version == 6 else f"http://{first}:{port}"
