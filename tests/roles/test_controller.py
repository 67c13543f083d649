"""What the role makes of its variables, with a configuration file and with a group."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillover.controller.config import ControllerConfig, parse_config
from spillover.groups.resource import parse_spec
from spillover.groups.translation import Means, translate

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/controller"
PROMETHEUS = {"url": "http://prometheus", "preset": "envoy", "interval_s": 5}
LAB = yaml.safe_load((ROOT / "inventory/lab/group_vars/all/sites.yml").read_text())
CLASSES = [{"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}}, {"name": "rest"}]
TEMPLATES = ("controller.yaml.j2", "config.yaml.j2", "group.yaml.j2")


def looked_up(template: str) -> str:
    return f"{{{{ lookup('ansible.builtin.template', '{ROLE}/templates/{template}') }}}}"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Each template with the lab's sites, by case."""
    folder = tmp_path_factory.mktemp("rendered")
    cases: dict[str, dict[str, Any]] = {
        "file": {"controller_groups": False},
        "groups": {"controller_groups": True},
        "classes": {"controller_groups": True, "controller_classes": CLASSES},
        "alone": {"controller_groups": True, "controller_leadership": False},
        "sources": {
            "controller_groups": True,
            "controller_sites": {
                "edge1": LAB["spillover_sites"]["edge1"] | {"source": {"prometheus": PROMETHEUS}},
                "edge2": LAB["spillover_sites"]["edge2"] | {"source": {"collector_url": "http://collector.example"}},
                "cloud": LAB["spillover_sites"]["cloud"],
            },
            "controller_source_tokens": {"edge1": "a-token"},
        },
        "weights": {"controller_groups": True, "controller_mode": "weights", "controller_window_s": 5},
    }
    sites = {"controller_sites": LAB["spillover_sites"], "controller_links": LAB["spillover_links"]}
    tasks: list[dict[str, Any]] = []
    for case, variables in cases.items():
        # What is included last stands above what was included before.
        own = folder / f"{case}.json"
        own.write_text(json.dumps({**sites, **variables, "_controller_config": looked_up("config.yaml.j2")}))
        tasks += [{"include_vars": str(path)} for path in (ROLE / "defaults/main.yml", ROLE / "vars/main.yml", own)]
        for name in TEMPLATES:
            copy = {"content": looked_up(name), "dest": str(folder / f"{case}-{name}"), "mode": "0600"}
            tasks.append({"copy": copy})
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    playbook = folder / "playbook.yml"
    playbook.write_text(json.dumps([play]))
    ansible = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert ansible is not None
    interpreter = json.dumps({"ansible_python_interpreter": sys.executable})
    command = [ansible, "--inventory=localhost,", str(playbook), f"--extra-vars={interpreter}"]
    environment = os.environ | {"ANSIBLE_FORCE_COLOR": "0"}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {
        case: {name: list(yaml.safe_load_all((folder / f"{case}-{name}").read_text())) for name in TEMPLATES}
        for case in cases
    }


def objects(documents: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(it["kind"], it["metadata"]["name"]): it for it in documents}


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = objects(documents)["Deployment", "controller"]["spec"]["template"]["spec"]["containers"][0]
    return result


def test_a_file_is_what_the_controller_reads_by_default(rendered: dict[str, Any]) -> None:
    documents = rendered["file"]["controller.yaml.j2"]
    assert container(documents)["args"] == [
        "controller", "--config", "/etc/spillover/config.yaml", "--listen", "0.0.0.0:8080",
    ]  # fmt: skip
    assert ("ConfigMap", "controller") in objects(documents)
    assert ("Role", "controller-groups") not in objects(documents)
    annotations = objects(documents)["Deployment", "controller"]["spec"]["template"]["metadata"]["annotations"]
    assert re.fullmatch("[0-9a-f]{64}", annotations["spillover.dev/config"])


def test_in_groups_mode_there_is_no_file_and_a_change_of_the_group_restarts_nothing(rendered: dict[str, Any]) -> None:
    documents = rendered["groups"]["controller.yaml.j2"]
    assert container(documents)["args"] == [
        "controller", "--groups", "--kubeconfigs", "/etc/spillover/sites", "--sources", "/etc/spillover/demand",
        "--namespace", "spillover-system",
        "--lease", "controller", "--lease-duration-s", "6", "--renew-deadline-s", "4", "--retry-period-s", "1",
        "--working-token-s", "3600",
        "--listen", "0.0.0.0:8080",
    ]  # fmt: skip
    assert ("ConfigMap", "controller") not in objects(documents)
    assert documents == rendered["weights"]["controller.yaml.j2"]


@pytest.mark.parametrize(("case", "mounted"), [("file", True), ("groups", True), ("alone", True)])
def test_the_account_is_mounted_where_an_api_server_is_spoken_to(
    rendered: dict[str, Any], case: str, mounted: bool
) -> None:
    names = [it["name"] for it in container(rendered[case]["controller.yaml.j2"])["volumeMounts"]]
    assert ("own-account" in names) == mounted
    assert ("config" in names) == (case == "file")


def test_a_controller_that_is_alone_has_no_lease(rendered: dict[str, Any]) -> None:
    assert "--lease" not in container(rendered["alone"]["controller.yaml.j2"])["args"]


def test_the_rights_are_to_read_groups_to_write_their_status_and_to_tell_events(rendered: dict[str, Any]) -> None:
    roles = [it for it in rendered["groups"]["controller.yaml.j2"] if it["kind"] == "Role"]
    rules = [rule for role in roles if role["metadata"]["name"] == "controller-groups" for rule in role["rules"]]
    assert rules == [
        {"apiGroups": ["spillover.dev"], "resources": ["spillovergroups"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["spillover.dev"], "resources": ["spillovergroups/status"], "verbs": ["update", "patch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    ]


def config_of(rendered: dict[str, Any], case: str, directory: Path) -> tuple[ControllerConfig, ControllerConfig]:
    """What the file says and what the group says, with files that exist."""
    (raw,) = rendered[case]["config.yaml.j2"]
    assert raw.pop("working_token_s") == 3600  # an argument of a daemon that follows groups
    (group,) = rendered[case]["group.yaml.j2"]
    paths = {name: directory / name for name in LAB["spillover_sites"]}
    for name, path in paths.items():
        path.touch()
        raw["sites"][name]["kubeconfig"] = str(path)
    return parse_config(raw), translate(parse_spec(group["spec"]), Means(paths))


def test_a_source_is_a_file_of_the_daemons_and_a_name_in_the_group(rendered: dict[str, Any], tmp_path: Path) -> None:
    (group,) = rendered["sources"]["group.yaml.j2"]
    assert [site["demand"] for site in group["spec"]["sites"]] == [
        {"source": "edge1"},
        {"collectorUrl": "http://collector.example"},
        {"collectorUrl": "http://collector.cloud.spillover.internal"},
    ]
    documents = rendered["sources"]["controller.yaml.j2"]
    files = {name: yaml.safe_load(text) for name, text in objects(documents)["ConfigMap", "sources"]["data"].items()}
    assert files == {"edge1": {"prometheus": PROMETHEUS | {"token_file": "/etc/spillover/sources/edge1.token"}}}
    paths = {name: tmp_path / name for name in LAB["spillover_sites"]}
    for path in paths.values():
        path.touch()
    files["edge1"]["prometheus"]["token_file"] = str(paths["edge1"])
    config = translate(parse_spec(group["spec"]), Means(paths, sources=files))
    assert config.sites["edge1"].source_interval_s == 5
    mounts = {it["name"]: it["mountPath"] for it in container(documents)["volumeMounts"]}
    assert mounts["sources"] == "/etc/spillover/demand"
    assert mounts["source-access"] == "/etc/spillover/sources"


@pytest.mark.parametrize(
    ("case", "part"), [("groups", "overflow"), ("classes", "overflow"), ("weights", "virtual_service")]
)
def test_a_group_says_what_the_file_says(rendered: dict[str, Any], tmp_path: Path, case: str, part: str) -> None:
    by_file, by_group = config_of(rendered, case, tmp_path)
    assert by_group.class_names == (("gold", "rest") if case == "classes" else ())
    assert by_group.model_dump(exclude={"sites", "leadership"}) == by_file.model_dump(exclude={"sites", "leadership"})
    for name, site in by_group.sites.items():
        common = {"capacity_rpm", "servers", "service_ms", "collector_url", "kubeconfig", part}
        assert site.model_dump(include=common) == by_file.sites[name].model_dump(include=common)
        assert getattr(site, part) is not None
        if case == "weights":
            assert site.destinations == by_file.sites[name].destinations
