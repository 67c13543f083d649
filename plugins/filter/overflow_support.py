"""Ansible filter: whether a gateway's proxy can be in overflow mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

try:
    from spillover.meshes import overflow
    from spillover.model import SpilloverError
except ImportError as error:
    _MISSING: ImportError | None = error
else:
    _MISSING = None

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DOCUMENTATION = """
name: overflow_support
author: Spillover contributors
version_added: "0.1.0"
short_description: Whether a gateway's proxy can be in overflow mode
description:
  - Judges a proxy by what it says of itself.
requirements: [spillover]
options:
  _input:
    description: The answer of Envoy's C(/server_info), decoded.
    type: dict
    required: true
"""

EXAMPLES = """
- ansible.builtin.assert:
    that: not (info.stdout | from_json | overflow_support).unsupported
"""

RETURN = """
_value:
  description:
    - C(envoy) and C(istio), its versions; C(unsupported), why it cannot, or nothing; and C(proxy_versions), the pattern
      of the Istio versions that the filters of overflow mode are for.
  type: dict
"""


def overflow_support(server_info: Mapping[str, Any]) -> dict[str, str]:
    """Return versions and verdict; AnsibleFilterError with the package's own sentence."""
    if _MISSING is not None:
        raise AnsibleFilterError(f"overflow_support: the Python package spillover is missing: {_MISSING}")
    try:
        proxy = overflow.proxy_of(server_info)
    except SpilloverError as error:
        raise AnsibleFilterError(f"overflow_support: {error}") from error
    return {
        "envoy": proxy.envoy,
        "istio": proxy.istio,
        "unsupported": proxy.unsupported,
        "proxy_versions": proxy.version_pattern,
    }


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"overflow_support": overflow_support}
