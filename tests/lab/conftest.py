from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from lab_helpers import CLIENT_PORT, HOST, SITES, kubectl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTROLLER = ("--namespace=spillover-system", "deployment/controller")


@pytest.fixture
def set_weights() -> Iterator[Callable[[str, dict[str, int]], None]]:
    """Set a site's weights by hand, with the controller out of the way; everything is at home again afterwards.

    Weights are given by the site that serves.
    """
    namespace, controller = CONTROLLER
    kubectl("cloud", namespace, "scale", controller, "--replicas=0")
    kubectl("cloud", namespace, "wait", "pods", "--selector=app=controller", "--for=delete", "--timeout=60s")

    def write(site: str, weights: dict[str, int]) -> None:
        name = SITES[site]["workload"]
        hosts = kubectl(
            site, "--namespace=apps", "get", f"virtualservice/{name}",
            "--output=jsonpath={.spec.http[0].route[*].destination.host}",
        ).split()  # fmt: skip
        patches = [
            f'{{"op": "replace", "path": "/spec/http/0/route/{place}/weight", '
            f'"value": {weights.get(site if place == 0 else host.partition(".")[0], 0)}}}'
            for place, host in enumerate(hosts)
        ]
        kubectl(
            site, "--namespace=apps", "patch", f"virtualservice/{name}", "--type=json", f"--patch=[{','.join(patches)}]"
        )

    try:
        yield write
    finally:
        for site in SITES:
            write(site, {site: 100})
        kubectl("cloud", namespace, "scale", controller, "--replicas=1")
        kubectl("cloud", namespace, "rollout", "status", controller, "--timeout=120s", timeout_s=130)


@pytest.fixture
def served_by() -> Iterator[Callable[[str], str]]:
    """Ask an origin's client door once and return the site that served."""
    with httpx.Client(headers={"Host": HOST}, timeout=30, trust_env=False) as client:

        def ask(origin: str) -> str:
            answer = client.get(f"http://{SITES[origin]['address']}:{CLIENT_PORT}/healthz")
            assert answer.status_code == 200, answer.text
            return answer.headers["x-served-by"]

        yield ask
