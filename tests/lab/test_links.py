"""Each ordered pair of sites is as far apart as the inventory says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lab_helpers import LINKS, kubectl

pytestmark = pytest.mark.lab

# A pair of requests on a busy machine: the gateway of the peer costs a few milliseconds, its scheduling a few more.
BELOW_MS, ABOVE_MS = 5.0, 15.0


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads(
        kubectl(
            "cloud", "--namespace=spillover-system", "exec", "deployment/controller", "--container=controller", "--",
            "python3", "-m", "spillover", "links", "--config=/etc/spillover/config.yaml", "--samples=30",
            timeout_s=120,
        )
    )  # fmt: skip
    return {(link["from"], link["to"]): link for link in found}


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link['from']}-{link['to']}")
def test_a_link_takes_its_round_trip_time(
    measured: dict[tuple[str, str], dict[str, Any]], link: dict[str, Any]
) -> None:
    found = measured[link["from"], link["to"]]
    assert found["samples"] == 30
    assert link["rtt_ms"] - BELOW_MS < found["measured_rtt_ms"] < link["rtt_ms"] + ABOVE_MS
