"""What an API server makes of the JSON patches that the renderers return."""

from __future__ import annotations

import copy
from typing import Any


def apply_patch(obj: dict[str, Any], patch: list[dict[str, Any]]) -> dict[str, Any]:
    """RFC 6902's test and add, on object members and list positions that exist."""
    result = copy.deepcopy(obj)
    for operation in patch:
        *parents, last = operation["path"].split("/")[1:]
        node: Any = result
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        if operation["op"] == "test":
            assert node[last] == operation["value"]
        else:
            assert operation["op"] == "add"
            node[last] = operation["value"]
    return result
