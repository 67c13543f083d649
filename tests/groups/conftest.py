from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from fixtures.apiserver import ApiServer

ROOT = Path(__file__).parents[2]
CRD = ROOT / "roles/controller/files/spillovergroups.yaml"
CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def crd(apiserver: ApiServer) -> None:
    """The resource's definition, served: Established alone does not mean that rules are compiled."""
    document = yaml.safe_load(CRD.read_text())
    answer = apiserver.client.post(
        CRDS_PATH, content=json.dumps(document), headers={"Content-Type": "application/json"}
    )
    assert answer.is_success, answer.text
    ends = time.monotonic() + 30
    while not apiserver.client.get("/apis/spillover.dev/v1alpha1/spillovergroups").is_success:
        assert time.monotonic() < ends
        time.sleep(0.05)
