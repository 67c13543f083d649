from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

FILTERS = Path(__file__).parents[2] / "plugins/filter"
put_back = runpy.run_path(str(FILTERS / "put_back.py"))["put_back"]
absent_from = runpy.run_path(str(FILTERS / "absent_from.py"))["absent_from"]

STORED: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "one", "namespace": "apps", "uid": "3c", "resourceVersion": "7"},
    "spec": {"ports": []},
    "status": {"loadBalancer": {}},
}


def test_content_is_given_back_and_nothing_else() -> None:
    assert put_back([STORED]) == [
        {
            "namespace": "apps",
            "object": "service/one",
            "patch": [{"op": "replace", "path": "/spec", "value": {"ports": []}}],
        }
    ]


def test_the_memory_of_what_was_applied_last_is_given_back_too() -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "spillover.dev/epoch": "7"}
    applied = STORED | {"metadata": STORED["metadata"] | {"annotations": annotations}}
    assert put_back([applied])[0]["patch"][1:] == [
        {"op": "add", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", "value": "{}"}
    ]


def test_objects_are_told_apart_by_kind_namespace_and_name() -> None:
    here = {"kind": "Service", "metadata": {"name": "one", "namespace": "apps"}}
    others = [
        {"kind": "Sidecar", "metadata": {"name": "one", "namespace": "apps"}},
        {"kind": "Service", "metadata": {"name": "two", "namespace": "apps"}},
        {"kind": "Service", "metadata": {"name": "one", "namespace": "other"}},
    ]
    assert absent_from([here], others) == [here]
    assert absent_from([here], [*others, STORED]) == []
