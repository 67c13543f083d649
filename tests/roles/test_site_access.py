"""The controller's right to its own token, as the role gives it, at a real API server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fixtures.apiserver import ApiServer

TEMPLATES = Path(__file__).parents[2] / "roles/collector/templates"
CONTROLLER, OTHER = "spillover-controller", "another"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
IN_FORCE_S = 20.0


def rendered(name: str, namespace: str) -> list[dict[str, Any]]:
    variables = {"collector_namespace": namespace, "collector_workload_namespace": namespace}
    # What is rendered is YAML, which HTML's escapes would spoil.
    templates = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    template = templates.get_template(name)
    documents = yaml.safe_load_all(template.render(variables, collector_workload_name="app"))
    return [it for it in documents if it["metadata"]["name"] in {CONTROLLER, f"{CONTROLLER}-token"}]


class Asking:
    """Asks for tokens as the controller's account of a namespace."""

    def __init__(self, apiserver: ApiServer, namespace: str) -> None:
        self._apiserver = apiserver
        self._namespace = namespace
        body = self._body(600)
        self._token = apiserver.request("POST", self._path(CONTROLLER), json=body)["status"]["token"]

    def ask(self, account: str, life_s: int = 3600, method: str = "POST") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._apiserver.client.request(method, self._path(account), json=self._body(life_s), headers=headers)

    def _path(self, account: str) -> str:
        return f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{account}/token"

    @staticmethod
    def _body(life_s: int) -> dict[str, Any]:
        return {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": life_s},
        }


@pytest.fixture
def asking(apiserver: ApiServer, namespace: str) -> Iterator[Asking]:
    # The roles of istio-system stand in one namespace with the others here: their names are the same.
    for made in rendered("access.yaml.j2", namespace):
        if made["metadata"]["namespace"] == namespace:
            apiserver.create(made)
    apiserver.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": OTHER}}
    )
    stored = []
    for made in rendered("admission.yaml.j2", namespace):
        kind = "validatingadmissionpolicies" if made["kind"].endswith("Policy") else "validatingadmissionpolicybindings"
        apiserver.request("POST", f"{ADMISSION}/{kind}", json=made)
        stored.append(f"{ADMISSION}/{kind}/{made['metadata']['name']}")
    try:
        yield Asking(apiserver, namespace)
    finally:
        for path in stored:
            apiserver.request("DELETE", path)


def test_the_controller_gets_its_own_token_for_a_day_at_most_and_nobody_elses(asking: Asking) -> None:
    ends_s = time.monotonic() + IN_FORCE_S
    while (refused := asking.ask(CONTROLLER, 86_401)).is_success and time.monotonic() < ends_s:
        time.sleep(0.2)  # a new policy takes a moment
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "the controller may ask for tokens of at most 86400 s, got 86401" in refused.json()["message"]
    for life_s in (600, 3600, 86_400):
        granted = asking.ask(CONTROLLER, life_s)
        assert granted.is_success, granted.text
        assert granted.json()["spec"]["expirationSeconds"] == life_s
    assert asking.ask(OTHER).status_code == httpx.codes.FORBIDDEN
    assert asking.ask("default").status_code == httpx.codes.FORBIDDEN
