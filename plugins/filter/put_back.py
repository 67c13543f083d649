"""Ansible filter: objects as the API server returned them, as they can be stored again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOCUMENTATION = """
name: put_back
author: Spillover contributors
version_added: "0.1.0"
short_description: Objects as they can be stored again
description:
  - Takes from objects what the API server itself gave them, so that they can be stored once more as they were.
options:
  _input:
    description: Objects as the API server returned them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = """
- kubernetes.core.k8s:
    force: true
    definition: "{{ before | put_back }}"
"""

RETURN = """
_value:
  description: The objects.
  type: list
  elements: dict
"""

_THEIRS = ("name", "namespace", "labels", "annotations")


def put_back(objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``objects`` without status and with no more metadata than somebody once wrote."""
    return [
        {key: value for key, value in item.items() if key != "status"}
        | {"metadata": {key: value for key, value in item["metadata"].items() if key in _THEIRS}}
        for item in objects
    ]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"put_back": put_back}
