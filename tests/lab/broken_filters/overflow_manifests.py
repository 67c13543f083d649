"""The project's filter of the same name, with a fault: the clients' door gets a filter that no Envoy knows.

istiod passes it on, since it cannot look into a TypedStruct; the proxy rejects it.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from spillover.meshes.overflow import envoy
from spillover.meshes.overflow.site import CLIENT_PORT

ORIGINAL = runpy.run_path(str(Path(__file__).parents[3] / "plugins/filter/overflow_manifests.py"))
UNKNOWN = "envoy.extensions.filters.http.nobody_knows.v3.NobodyKnows"


def overflow_manifests(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = ORIGINAL["overflow_manifests"](*arguments, **options)
    (doors,) = (item for item in objects if item["metadata"]["name"] == "spillover-doors")
    config = {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": f"type.googleapis.com/{UNKNOWN}"}
    unknown = {"name": "spillover.unknown", "typed_config": config | {"value": {}}}
    doors["spec"]["configPatches"].append(envoy.http_filter(CLIENT_PORT, "INSERT_FIRST", unknown))
    return objects


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"overflow_manifests": overflow_manifests}
