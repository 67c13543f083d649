"""Ansible filter: what makes objects again what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOCUMENTATION = """
name: put_back
author: Spillover contributors
version_added: "0.1.0"
short_description: What makes objects again what they were
description:
  - Returns for each object the JSON patch that gives it back its content, and the memory of what was applied last, by
    which the next C(apply) knows what it owns.
options:
  _input:
    description: Objects as the API server returned them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = """
- ansible.builtin.command:
    argv: [kubectl, patch, "{{ item.object }}", --type=json, "--patch={{ item.patch | to_json }}"]
  loop: "{{ before | put_back }}"
"""

RETURN = """
_value:
  description: For each object C(namespace), C(object) (kind and name, as kubectl wants them) and C(patch).
  type: list
  elements: dict
"""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def put_back(objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the patches of ``objects``, in their order."""
    return [
        {
            "namespace": item["metadata"]["namespace"],
            "object": f"{item['kind'].lower()}/{item['metadata']['name']}",
            "patch": _patch(item),
        }
        for item in objects
    ]


def _patch(item: dict[str, Any]) -> list[dict[str, Any]]:
    patch = [{"op": "replace", "path": "/spec", "value": item["spec"]}]
    if applied := (item["metadata"].get("annotations") or {}).get(_LAST_APPLIED):
        patch.append(
            {"op": "add", "path": f"/metadata/annotations/{_LAST_APPLIED.replace('/', '~1')}", "value": applied}
        )
    return patch


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"put_back": put_back}
