from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from definitions import CRD, install
from fixtures.processes import binary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fixtures.apiserver import ApiServer

OVERFLOW_KINDS = (
    ("Sidecar", "sidecars", "v1"),
    ("ServiceEntry", "serviceentries", "v1"),
    ("EnvoyFilter", "envoyfilters", "v1alpha3"),
)


@pytest.fixture(scope="session")
def crd(apiserver: ApiServer) -> dict[str, Any]:
    """The resource's definition, served."""
    document: dict[str, Any] = yaml.safe_load(CRD.read_text())
    install(apiserver, document)
    return document


@pytest.fixture(scope="session")
def overflow_kinds(apiserver: ApiServer) -> None:
    """Istio's kinds that hold the numbers of overflow mode, without their schemas, and the gateways' namespace."""
    for kind, plural, version in OVERFLOW_KINDS:
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        install(
            apiserver,
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.networking.istio.io"},
                "spec": {
                    "group": "networking.istio.io",
                    "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                    "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
                },
            },
        )
    apiserver.request(
        "POST",
        "/api/v1/namespaces",
        json={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}},
    )


@pytest.fixture
def kubectl(apiserver: ApiServer, namespace: str, tmp_path: Path) -> Callable[..., str]:
    """kubectl against the API server, in the test's namespace; returns what it prints."""
    program = binary("kubectl")
    config = apiserver.kubeconfig(tmp_path / "kubectl-config")

    def run(*arguments: str) -> str:
        command = [str(program), f"--kubeconfig={config}", f"--namespace={namespace}", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run
