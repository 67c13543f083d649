"""Ansible filter: which of some networks share addresses with a range."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCUMENTATION = """
name: overlapping_networks
author: Spillover contributors
version_added: "0.1.0"
short_description: The networks that share addresses with a range
description:
  - Returns those of the given networks and addresses that lie in a range, hold it, or are it.
  - What is no address, such as a route named default, overlaps nothing.
options:
  _input:
    description: Networks or addresses as text.
    type: list
    elements: str
    required: true
  address_range:
    description: The range, in CIDR notation.
    type: str
    required: true
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ ['198.18.0.0/24', '192.0.2.0/24'] | overlapping_networks('198.18.0.0/15') }}"
"""

RETURN = """
_value:
  description: The networks that overlap, as they were given.
  type: list
  elements: str
"""


def overlapping_networks(networks: Iterable[str], address_range: str) -> list[str]:
    """Return those of ``networks`` that share addresses with ``address_range``.

    Raises
    ------
    AnsibleFilterError
        If ``address_range`` is no network.
    """
    try:
        wanted = ipaddress.ip_network(address_range)
    except ValueError as error:
        raise AnsibleFilterError(f"overlapping_networks: address_range must be a network, got {error}") from error
    return [network for network in networks if _overlaps(network, wanted)]


def _overlaps(text: str, wanted: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return network.version == wanted.version and network.overlaps(wanted)


class FilterModule:
    """Glue between Ansible and `overlapping_networks`."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"overlapping_networks": overlapping_networks}
