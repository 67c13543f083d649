from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from callee import standing
from lab_helpers import CLIENT_PORT, HOST, KUBECONFIG, LINKS, SITES, kubectl, playbook, rolled_out

from spillover.clusters import Cluster
from spillover.reconciliation import Target, reconcile_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTROLLER = ("--namespace=spillover-system", "deployment/controller")
CONTROLLERS = 2
STANDING_MODE = "overflow"
"""How the stand-up lets the clients be led."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the weights last: each change between the modes takes its time."""
    items.sort(key=lambda item: "set_weights" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def lead_by() -> Iterator[Callable[[str], None]]:
    """Let the clients be led by "weights" or by "overflow"; afterwards they are led as the stand-up leads them."""
    now = STANDING_MODE

    def change(mode: str) -> None:
        nonlocal now
        if mode == now:
            return
        ended = playbook("workload", f"--extra-vars=workload_mode={mode}")
        assert ended.returncode == 0, ended.stdout[-3000:]
        now = mode

    yield change
    change(STANDING_MODE)


@pytest.fixture(scope="module")
def no_controller() -> Iterator[None]:
    """Take the controllers out of the way."""
    namespace, controller = CONTROLLER
    kubectl("cloud", namespace, "scale", controller, "--replicas=0")
    kubectl("cloud", namespace, "wait", "pods", "--selector=app=controller", "--for=delete", "--timeout=60s")
    try:
        yield
    finally:
        kubectl("cloud", namespace, "scale", controller, f"--replicas={CONTROLLERS}")
        rolled_out("cloud", "spillover-system", controller)


@pytest.fixture(scope="module")
def callee(lead_by: Callable[[str], None], no_controller: None) -> Iterator[None]:  # noqa: ARG001  it would put other numbers
    """Let the application that speaks gRPC stand meanwhile."""
    lead_by("overflow")
    with standing():
        yield


@pytest.fixture
def set_weights(
    lead_by: Callable[[str], None],
    no_controller: None,  # noqa: ARG001  it would put other weights
) -> Iterator[Callable[[str, dict[str, int]], None]]:
    """Set a site's weights by hand; everything is at home again afterwards.

    Weights are given by the site that serves.
    """
    lead_by("weights")

    def write(site: str, weights: dict[str, int]) -> None:
        name = SITES[site]["workload"]
        home = f"{name}.apps.svc.cluster.local"
        peers = [link["to"] for link in LINKS if link["from"] == site]
        wanted = {home: weights.get(site, 0)} | {f"{peer}.peers.internal": weights.get(peer, 0) for peer in peers}
        reconcile_weights(Cluster.from_kubeconfig(KUBECONFIG, site, timeout_s=10), Target("apps", name), wanted)

    try:
        yield write
    finally:
        for site in SITES:
            write(site, {site: 100})


@pytest.fixture
def served_by() -> Iterator[Callable[[str], str]]:
    """Ask an origin's client door once and return the site that served."""
    with httpx.Client(headers={"Host": HOST}, timeout=30, trust_env=False) as client:

        def ask(origin: str) -> str:
            answer = client.get(f"http://{SITES[origin]['address']}:{CLIENT_PORT}/healthz")
            assert answer.status_code == 200, answer.text
            return answer.headers["x-served-by"]

        yield ask
