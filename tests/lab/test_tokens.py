"""The controllers renew their tokens to the sites while a crowd is at a door: no client and no write notices."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from crowd import Crowd
from lab_helpers import SITES, kubectl, playbook, rolled_out, wait_for
from leading import CONTROLLERS, answer
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200), pytest.mark.usefixtures("led")]

DEPLOYMENT = "deployment/controller"
RPS = 20
LIFE_S, SHORT_LIFE_S = 3600, 600
SLACK_S = 60
RENEWALS, EXPIRES = "spillover_token_renewals_total", "spillover_token_expires_seconds"
STORED = "spillover_stored_token_expires_seconds"


@pytest.fixture(scope="module")
def led(lead_by: Callable[[str], None]) -> None:
    """Have the sites led as a stand-up leads them."""
    lead_by("overflow")


@pytest.fixture
def short_lived() -> Iterator[None]:
    """Let working tokens live as short as an API server grants."""
    assert playbook("controller", f"--extra-vars=controller_working_token_s={SHORT_LIFE_S}").returncode == 0
    try:
        yield
    finally:
        assert playbook("controller").returncode == 0


def controllers() -> list[str]:
    """Return the pods that are not about to end."""
    listed = kubectl("cloud", CONTROLLERS, "get", "pods", "--selector=app=controller", "--output=json")
    metadata = [pod["metadata"] for pod in json.loads(listed)["items"]]
    return [it["name"] for it in metadata if "deletionTimestamp" not in it]


def tokens(pod: str, name: str) -> dict[str, float]:
    """Return a metric of one controller by site."""
    families = text_string_to_metric_families(answer("/metrics", f"pod/{pod}"))
    samples = [sample for family in families for sample in family.samples]
    return {sample.labels["site"]: sample.value for sample in samples if sample.name == name}


def renewed(pods: list[str], times: int) -> bool:
    """Whether each of these has traded each site's token so often."""
    counted = [tokens(pod, RENEWALS) for pod in pods]
    return all(set(it) == set(SITES) and min(it.values()) >= times for it in counted)


def complaints(pod: str) -> list[str]:
    """Return the tokens that a controller could not renew, and the calls that were refused for theirs."""
    lines = kubectl("cloud", CONTROLLERS, "logs", f"pod/{pod}", "--container=controller", "--tail=-1").splitlines()
    return [line for line in lines if '"token_not_renewed"' in line or "accept the credentials" in line]


def test_controllers_that_start_trade_what_is_stored_for_an_hour_and_no_client_notices() -> None:
    with Crowd("edge1", RPS) as crowd:
        kubectl("cloud", CONTROLLERS, "rollout", "restart", DEPLOYMENT)
        rolled_out("cloud", "spillover-system", DEPLOYMENT)
        pods = controllers()
        wait_for(lambda: renewed(pods, 1), timeout_s=30)
    assert not crowd.errors
    for pod in pods:
        for site in SITES:
            left_s = tokens(pod, EXPIRES)[site] - time.time()
            assert LIFE_S * 2 / 3 - SLACK_S < left_s <= LIFE_S + SLACK_S
            assert tokens(pod, STORED)[site] > time.time() + LIFE_S


@pytest.mark.skipif("SPILLOVER_SOAK_S" not in os.environ, reason="a renewal is due after 200 s: `make soak`")
def test_tokens_are_renewed_again_under_load_and_no_period_is_disturbed(short_lived: None) -> None:  # noqa: ARG001
    pods = controllers()
    with Crowd("edge1", RPS) as crowd:
        wait_for(lambda: renewed(pods, 1), timeout_s=30)
        before = {pod: tokens(pod, EXPIRES) for pod in pods}
        wait_for(lambda: renewed(pods, 2), timeout_s=SHORT_LIFE_S / 3 * 1.1 + SLACK_S)
    assert controllers() == pods
    assert not crowd.errors
    for pod in pods:
        after = tokens(pod, EXPIRES)
        assert all(after[site] > before[pod][site] + SHORT_LIFE_S / 4 for site in SITES)
        assert complaints(pod) == []
