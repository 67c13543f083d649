from __future__ import annotations

import runpy
from pathlib import Path

FILTERS = Path(__file__).parents[2] / "plugins/filter"
put_back = runpy.run_path(str(FILTERS / "put_back.py"))["put_back"]
absent_from = runpy.run_path(str(FILTERS / "absent_from.py"))["absent_from"]

STORED = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "one", "namespace": "apps", "labels": {"a": "b"}, "annotations": {"c": "d"},
        "uid": "3c", "resourceVersion": "7", "generation": 2, "creationTimestamp": "2026-11-24", "managedFields": [],
    },
    "spec": {"ports": []},
    "status": {"loadBalancer": {}},
}  # fmt: skip


def test_what_the_api_server_gave_is_taken_off_and_what_a_person_wrote_is_kept() -> None:
    assert put_back([STORED]) == [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "one", "namespace": "apps", "labels": {"a": "b"}, "annotations": {"c": "d"}},
            "spec": {"ports": []},
        }
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
