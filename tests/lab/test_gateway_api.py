"""The Gateway API in the lab's own mesh: the HTTPRoute that `spillover render` prints splits a Service's requests."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from lab_helpers import CACHE, kubectl, rolled_out, run, wait_for

from spillover.meshes import gateway_api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SITE, NAMESPACE = "edge1", "--namespace=apps"
DEFINITIONS = (CACHE / "binaries/current/gateway-api").resolve()  # kubectl follows no link to a folder
PARENT, HOME, PEER = "compass", "north", "south"
REQUESTS = 300

SNAPSHOT = {
    "sites": {"edge1": {"capacity_rps": 12, "demand_rps": 20}, "edge2": {"capacity_rps": 12}},
    "links": [{"from": "edge1", "to": "edge2", "rtt_ms": 10}],
}
"""By the paper's rule 60 in a hundred stay."""

ASK = f"""
import http.client, json, collections
connection = http.client.HTTPConnection("{PARENT}.apps.svc.cluster.local", 80, timeout=10)
served = collections.Counter()
for _ in range({REQUESTS}):
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    served[answer.getheader("x-served-by") if answer.status == 200 else str(answer.status)] += 1
print(json.dumps(served))
"""


def objects(name: str, image: str) -> list[dict[str, Any]]:
    """Return a small application that says its name; the parent is one too, and its own pod serves nobody."""
    labels = {"app": name}
    container = {
        "name": "app", "image": image, "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "SITE_NAME", "value": name}],
        "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "200m"}},
    }  # fmt: skip
    metadata = {"name": name, "namespace": "apps"}
    return [
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata,
            "spec": {
                "podSelector": {"matchLabels": labels},
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": PARENT}}}]}],
            },
        },
    ]  # fmt: skip


def apply(tmp_path: Path, manifests: list[dict[str, Any]]) -> None:
    (tmp_path / "manifests.yml").write_text(yaml.safe_dump_all(manifests))
    kubectl(SITE, "apply", f"--filename={tmp_path / 'manifests.yml'}")


def served() -> Counter[str]:
    """Ask the parent from inside the mesh and count who answered."""
    text = kubectl(
        SITE, NAMESPACE, "exec", f"deployment/{PARENT}", "--container=app", "--", "python3", "-c", ASK, timeout_s=120
    )
    return Counter(json.loads(text))


def conditions() -> dict[str, str]:
    """Return what istiod says of the route, by type."""
    stored = json.loads(kubectl(SITE, NAMESPACE, "get", f"httproute/{PARENT}", "--output=json"))
    parents = (stored.get("status") or {}).get("parents") or [{"conditions": []}]
    return {condition["type"]: condition["status"] for condition in parents[0]["conditions"]}


@pytest.fixture
def route(tmp_path: Path) -> Iterator[dict[str, Any]]:
    image = kubectl(SITE, NAMESPACE, "get", "deployment/edgeapp", "--output=jsonpath={..containers[0].image}")
    made = [item for name in (PARENT, HOME, PEER) for item in objects(name, image)]
    (tmp_path / "snapshot.json").write_text(json.dumps(SNAPSHOT))
    rendered = run(
        [
            sys.executable, "-m", "spillover", "render", str(tmp_path / "snapshot.json"), "--mesh=gateway-api",
            "--policy=paper", "--origin=edge1", f"--name={PARENT}", "--namespace=apps", f"--host={PARENT}:80",
            f"--destination=edge1={HOME}:80", f"--destination=edge2={PEER}:80",
        ]
    )  # fmt: skip
    assert rendered.returncode == 0, rendered.stderr
    kubectl(SITE, "apply", "--server-side", f"--filename={DEFINITIONS}")
    try:
        kubectl(SITE, "wait", "crd/httproutes.gateway.networking.k8s.io", "--for=condition=Established")
        apply(tmp_path, [*made, yaml.safe_load(rendered.stdout)])
        for name in (PARENT, HOME, PEER):
            rolled_out(SITE, "apps", f"deployment/{name}")
        wait_for(lambda: conditions() == {"Accepted": "True", "ResolvedRefs": "True"}, timeout_s=60)
        yield yaml.safe_load(rendered.stdout)
    finally:
        names = [f"{item['kind'].lower()}/{item['metadata']['name']}" for item in made]
        kubectl(SITE, NAMESPACE, "delete", "--ignore-not-found", "--wait=false", *names)
        kubectl(SITE, "delete", "--ignore-not-found", f"--filename={DEFINITIONS}")


def test_the_rendered_route_splits_by_its_weights_and_a_patch_changes_them(route: dict[str, Any]) -> None:
    assert gateway_api.read_weights(route) == {f"{HOME}:80": 60, f"{PEER}:80": 40}
    # Five standard deviations of a binomial with 300 draws.
    wait_for(lambda: abs(served()[HOME] / REQUESTS - 0.6) < 0.14, timeout_s=30)

    stored = json.loads(kubectl(SITE, NAMESPACE, "get", f"httproute/{PARENT}", "--output=json"))
    patch = gateway_api.json_patch(stored, {f"{HOME}:80": 10, f"{PEER}:80": 90})
    kubectl(SITE, NAMESPACE, "patch", f"httproute/{PARENT}", "--type=json", f"--patch={json.dumps(patch)}")
    wait_for(lambda: abs(served()[HOME] / REQUESTS - 0.1) < 0.09, timeout_s=30)
    assert set(served()) == {HOME, PEER}
