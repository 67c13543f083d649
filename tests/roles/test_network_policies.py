"""The network policies as the roles make them for the lab: valid, and closed but for what is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from fixtures.apiserver import ApiServer

ROOT = Path(__file__).parents[2]
LAB = yaml.safe_load((ROOT / "inventory/lab/group_vars/all/sites.yml").read_text())
TEMPLATES = {
    "mesh": "network-policies.yaml.j2",
    "workload": "application.yaml.j2",
    "collector": "collector.yaml.j2",
    "controller": "network-policy.yaml.j2",
}
GATEWAY = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}},
    "podSelector": {"matchLabels": {"istio": "ingressgateway"}},
}
READERS = {"namespaceSelector": {"matchLabels": {"spillover.dev/reads-metrics": "true"}}}


def rendered_with(folder: Path, variables: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the policies that the roles make of some variables, by namespace and name."""
    own = folder / "own.json"
    own.write_text(json.dumps(variables))
    tasks: list[dict[str, Any]] = []
    for role, template in TEMPLATES.items():
        files = [ROOT / f"roles/{role}/{part}/main.yml" for part in ("defaults", "vars")]
        tasks += [{"include_vars": str(path)} for path in (*files, own) if path.is_file()]
        text = f"{{{{ lookup('ansible.builtin.template', '{ROOT}/roles/{role}/templates/{template}') }}}}"
        tasks.append({"copy": {"content": text, "dest": str(folder / f"{role}.yml"), "mode": "0600"}})
    (folder / "playbook.yml").write_text(
        json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}])
    )
    ansible = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert ansible is not None
    interpreter = json.dumps({"ansible_python_interpreter": sys.executable})
    ended = subprocess.run(
        [ansible, "--inventory=localhost,", str(folder / "playbook.yml"), f"--extra-vars={interpreter}"],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
        env=os.environ | {"ANSIBLE_FORCE_COLOR": "0"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    documents = [one for role in TEMPLATES for one in yaml.safe_load_all((folder / f"{role}.yml").read_text())]
    return {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one
        for one in documents
        if one["kind"] == "NetworkPolicy"
    }


def lab(**sites: dict[str, Any]) -> dict[str, Any]:
    """Return the lab's variables, with more said of some sites."""
    known = {name: site | sites.get(name, {}) for name, site in LAB["spillover_sites"].items()}
    clusters = {name: {"server": f"https://{site['address']}:6443"} for name, site in known.items()}
    return {"controller_sites": known, "_controller_clusters": clusters}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    return rendered_with(tmp_path_factory.mktemp("policies"), lab())


def opened(rules: list[dict[str, Any]]) -> set[tuple[str, int, str]]:
    """Return protocol, port and other end of each way that the rules open; an empty end is everybody."""
    return {
        (port["protocol"], port["port"], json.dumps(peer, sort_keys=True) if peer else "")
        for rule in rules
        for port in rule["ports"]
        for peer in rule.get("from") or rule.get("to") or [{}]
    }


def way(port: int, peer: dict[str, Any] | None = None, protocol: str = "TCP") -> tuple[str, int, str]:
    return protocol, port, json.dumps(peer, sort_keys=True) if peer else ""


def pods_of(namespace: str, **labels: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": labels},
    }


def test_an_api_server_takes_each_policy(
    policies: dict[tuple[str, str], dict[str, Any]], apiserver: ApiServer, namespace: str
) -> None:
    collection = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    for policy in policies.values():
        there = policy | {"metadata": {"name": policy["metadata"]["name"], "namespace": namespace}}
        apiserver.request("POST", collection, json=there, params={"dryRun": "All", "fieldValidation": "Strict"})


@pytest.mark.parametrize("namespace", ["istio-system", "apps", "spillover-system"])
def test_a_namespace_of_ours_takes_nothing_that_is_not_named(policies: dict[Any, Any], namespace: str) -> None:
    assert policies[namespace, "default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


@pytest.mark.parametrize(
    ("namespace", "name", "ways"),
    [
        ("apps", "edgeapp", {way(8080, GATEWAY), way(8081, GATEWAY)}),
        ("spillover-system", "collector", {way(8080, GATEWAY)}),
        ("spillover-system", "controller", {way(8080, READERS)}),
        ("istio-system", "istiod", {way(15012, {"namespaceSelector": {}}), way(15017), way(15014, READERS)}),
        (
            "istio-system", "gateway",
            {way(8080), way(8443), way(8444), way(15090, READERS)}
            | {way(15090, pods_of("spillover-system", app="collector"))},
        ),
    ],
)  # fmt: skip
def test_the_ways_in_are_those_that_are_needed(
    policies: dict[Any, Any], namespace: str, name: str, ways: set[tuple[str, int, str]]
) -> None:
    assert opened(policies[namespace, name]["spec"]["ingress"]) == ways


INSIDE = {
    way(53, pods_of("kube-system", **{"k8s-app": "kube-dns"}), "UDP"),
    way(53, pods_of("kube-system", **{"k8s-app": "kube-dns"})),
    way(15012, pods_of("istio-system", app="istiod")),
    way(8444, GATEWAY),
}


def test_the_controller_gets_to_names_api_servers_and_control_doors_alone(policies: dict[Any, Any]) -> None:
    spec = policies["spillover-system", "controller"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    addresses = [site["address"] for site in LAB["spillover_sites"].values()]
    doors = {way(port, {"ipBlock": {"cidr": f"{address}/32"}}) for address in addresses for port in (6443, 30444)}
    assert opened(spec["egress"]) == INSIDE | doors


def test_the_controller_gets_to_its_sources_too(tmp_path: Path) -> None:
    sources = {
        "edge1": {"source": {"prometheus": {"url": "http://198.51.100.7:9090", "preset": "envoy", "interval_s": 5}}},
        "edge2": {"source": {"dynatrace": {"url": "https://environment.example"}}},
        "cloud": {"source": {"collector_url": "http://collector.example"}},
    }
    variables = lab(**sources)
    variables["_controller_clusters"]["edge1"]["server"] = "https://edge1.example"
    spec = rendered_with(tmp_path, variables)["spillover-system", "controller"]["spec"]
    cloud, edge2 = (LAB["spillover_sites"][name]["address"] for name in ("cloud", "edge2"))
    assert opened(spec["egress"]) == INSIDE | {
        way(443), way(80), way(9090, {"ipBlock": {"cidr": "198.51.100.7/32"}}),
        way(6443, {"ipBlock": {"cidr": f"{cloud}/32"}}), way(6443, {"ipBlock": {"cidr": f"{edge2}/32"}}),
    }  # fmt: skip
