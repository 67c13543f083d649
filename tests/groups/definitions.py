"""Definitions of kinds at a real API server."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fixtures.apiserver import ApiServer

ROOT = Path(__file__).parents[2]
CRD = ROOT / "roles/controller/files/spillovergroups.yaml"
CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def install(apiserver: ApiServer, document: dict[str, Any]) -> None:
    """Create a definition and wait until its kind is served."""
    answer = apiserver.client.post(
        CRDS_PATH, content=json.dumps(document), headers={"Content-Type": "application/json"}
    )
    assert answer.is_success, answer.text
    spec = document["spec"]
    path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    ends = time.monotonic() + 30
    while not apiserver.client.get(path).is_success:
        assert time.monotonic() < ends, f"{path} is not served"
        time.sleep(0.05)
