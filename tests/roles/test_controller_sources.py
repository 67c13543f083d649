"""What the controller's role makes of the sources that an inventory chooses."""

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

from spillover.controller.config import parse_config

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "controller"
SITE: dict[str, Any] = {"address": "198.18.0.1", "trust_domain": "x.lab", "workload": "app", "capacity_rpm": 600}
PROMETHEUS = {
    "url": "https://thanos.example",
    "preset": "istio",
    "labels": {"cluster": 'the "first"'},
    "interval_s": 30,
}
DYNATRACE = {
    "url": "https://dynatrace.example/e/1",
    "metric_selector": "calls:splitBy()",
    "entity_selector": 'type("X")',
}


def sites(**sources: dict[str, Any]) -> dict[str, Any]:
    return {
        name: SITE | {"servers": 1} | ({"source": sources[name]} if name in sources else {})
        for name in ("edge1", "edge2", "cloud")
    }


@pytest.fixture
def render(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run the role's checks, and render its templates as the role does."""
    tasks: list[dict[str, Any]] = [
        {"include_role": {"name": "controller", "tasks_from": "preflight"}},
        *(
            {"ansible.builtin.template": {"src": str(ROLE / "templates" / name), "dest": str(tmp_path / name)}}
            for name in ("config.yaml.j2", "collectors.yaml.j2", "controller.yaml.j2", "source-access.yaml.j2")
        ),
    ]
    files = [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars_files": files, "tasks": tasks}
    (tmp_path / "playbook.yml").write_text(json.dumps([play]))
    ansible = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert ansible is not None

    def run(**variables: Any) -> dict[str, Any]:
        config = "{{ lookup('ansible.builtin.template', '" + str(ROLE / "templates" / "config.yaml.j2") + "') }}"
        links = [{"from": "edge1", "to": "cloud", "rtt_ms": 40}]
        wanted = {
            "_controller_config": config,
            "controller_links": links,
            "ansible_python_interpreter": sys.executable,
        } | variables
        ended = subprocess.run(
            [ansible, "--inventory=localhost,", f"--extra-vars=@{_file(tmp_path, wanted)}", tmp_path / "playbook.yml"],
            cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
            env=os.environ | {"ANSIBLE_ROLES_PATH": str(ROOT / "roles")},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout
        return {
            path.name.partition(".")[0]: list(yaml.safe_load_all(path.read_text())) for path in tmp_path.glob("*.j2")
        }

    return run


def _file(directory: Path, variables: dict[str, Any]) -> Path:
    path = directory / "variables.json"
    path.write_text(json.dumps(variables))
    return path


def test_lab_keeps_its_collectors(render: Callable[..., dict[str, Any]]) -> None:
    made = render(controller_sites=sites())
    settings = made["config"][0]["sites"]["edge1"]
    assert settings["collector_url"] == "http://collector.edge1.spillover.internal"
    assert {"prometheus", "dynatrace"}.isdisjoint(settings)
    assert [one["metadata"]["name"] for one in made["collectors"] if one and one["kind"] == "ServiceEntry"] == [
        "collector-edge1",
        "collector-edge2",
        "collector-cloud",
    ]
    assert "source-access" not in json.dumps(made["controller"])


def test_each_site_may_have_another_source(render: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    made = render(
        controller_sites=sites(edge1={"prometheus": PROMETHEUS}, cloud={"dynatrace": DYNATRACE}),
        controller_source_tokens={"edge1": "canary-1", "cloud": "canary-2"},
        controller_source_authorities={"edge1": "-----BEGIN CERTIFICATE-----\n"},
    )
    settings = made["config"][0]["sites"]
    assert settings["edge1"]["prometheus"] == PROMETHEUS | {
        "token_file": "/etc/spillover/sources/edge1.token",
        "ca_file": "/etc/spillover/sources/edge1.pem",
    }
    assert settings["cloud"]["dynatrace"] == DYNATRACE | {"token_file": "/etc/spillover/sources/cloud.token"}
    assert "canary" not in json.dumps([made["config"], made["controller"]])
    assert set(made["source-access"][0]["data"]) == {"edge1.token", "cloud.token", "edge1.pem"}
    assert [one["metadata"]["name"] for one in made["collectors"] if one] == ["collector-edge2"] * 2
    assert json.dumps(made["controller"]).count("source-access") == 3
    there = tmp_path / "file"
    there.touch()
    for site in settings.values():
        site["kubeconfig"] = str(there)
        for source in (site.get("prometheus", {}), site.get("dynatrace", {})):
            source.update({name: str(there) for name in ("token_file", "ca_file") if name in source})
    checked = parse_config(made["config"][0])
    assert [site.source for site in checked.sites.values()] == ["prometheus", "collector", "dynatrace"]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"controller_sites": sites(edge1={"graphite": {}})},
            "controller_sites.edge1.source must have one of collector_url, prometheus and dynatrace, got ['graphite']",
        ),
        (
            {"controller_sites": sites(edge1={"prometheus": PROMETHEUS, "dynatrace": DYNATRACE})},
            "must have one of collector_url, prometheus and dynatrace, got ['prometheus', 'dynatrace']",
        ),
        (
            {"controller_sites": sites(), "controller_source_tokens": {"mars": "canary"}},
            "controller_source_tokens and controller_source_authorities must name known sites, got mars",
        ),
        (
            {"controller_sites": sites(), "controller_working_token_s": 599},
            "controller_working_token_s must be 0 or from 600 to 86400, got 599",
        ),
    ],
)
def test_wrong_value_ends_the_role_with_a_sentence(
    render: Callable[..., dict[str, Any]], variables: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(AssertionError) as caught:
        render(**variables)
    assert sentence in " ".join(str(caught.value).replace("\\n", " ").split())
    assert "canary" not in str(caught.value)
