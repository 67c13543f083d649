"""Ansible filter: the objects that are not among others, by kind, namespace and name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DOCUMENTATION = """
name: absent_from
author: Spillover contributors
version_added: "0.1.0"
short_description: The objects that are not among others
description:
  - Returns those objects whose kind, namespace and name no other one has, whatever else they hold.
options:
  _input:
    description: Kubernetes objects.
    type: list
    elements: dict
    required: true
  others:
    description: Kubernetes objects.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = """
- kubernetes.core.k8s:
    state: absent
    definition: "{{ made | absent_from(there_before) }}"
"""

RETURN = """
_value:
  description: The objects, as they were given.
  type: list
  elements: dict
"""


def absent_from(objects: Sequence[dict[str, Any]], others: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return those of ``objects`` that are not among ``others``."""
    known = {_key(other) for other in others}
    return [item for item in objects if _key(item) not in known]


def _key(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"absent_from": absent_from}
