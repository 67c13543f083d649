"""What a cell does about replicas: which autoscalers come and go, also when its load fails, and what is noted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spillover.experiment import expand, load_experiment

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CELLS = {cell.variant: cell.to_dict() for cell in expand(load_experiment(ROOT / "experiments/rivals.yml"))}
SITES = {
    name: {"address": "198.18.0.1", "workload": app, "capacity_rpm": 600}
    for name, app in (("edge1", "edgeapp"), ("edge2", "edgeapp"), ("cloud", "cloudapp"))
}
USED = {"usageCoreNanoSeconds": 12_340_000_000, "time": "2999-01-01T00:00:00Z"}
SUMMARY = {
    "pods": [
        {"podRef": {"namespace": "apps", "name": name}, "containers": [{"name": "app", "cpu": USED}, {"name": "proxy"}]}
        for name in ("edgeapp-1", "edgeapp-2", "cloudapp-1", "callee-1")
    ]
}
READY = "True 2026-11-24T02:00:31Z\nTrue 2026-11-24T02:00:00Z\nFalse 2026-11-24T02:00:40Z"
KUBECTL = f"""#!/bin/sh
case "$*" in
*stats/summary*) echo '{json.dumps(SUMMARY)}' ;;
*"get pods"*) echo '{READY}' ;;
esac
"""


@pytest.fixture
def run_cell(tmp_path: Path) -> Callable[..., tuple[int, list[str], dict[str, Any]]]:
    """Run a cell of the experiment with roles that only note what they are told.

    Return the exit code, what became of the autoscalers and of the load in order, and cell.json.
    """
    notes = tmp_path / "notes"
    state = "{{ autoscaler_state | default('to %d' % autoscaler_max_replicas | default(0)) }}"
    told = "{{ autoscaler_context }} {{ autoscaler_name }} " + state
    tasks: dict[tuple[str, str], Any] = {
        ("autoscaler", "main"): {"command": ["sh", "-c", f"echo {told} >> {notes}"]},
        ("load", "run"): {"command": ["sh", "-c", f"echo load >> {notes}; exit {{{{ load_exit }}}}"]},
        ("workload", "routes"): {"debug": {}},
        ("controller", "main"): {"debug": {}},
    }
    for (role, name), task in tasks.items():
        folder = tmp_path / "roles" / role / "tasks"
        folder.mkdir(parents=True)
        if "command" in task:
            task["command"] = {"argv": task["command"]}
        (folder / f"{name}.yml").write_text(json.dumps([task]))
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    ansible = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert ansible is not None

    def run(variant: str, *, load_exit: int = 0) -> tuple[int, list[str], dict[str, Any]]:
        variables = {
            "experiment_name": "rivals", "experiment_sites": SITES, "experiment_kubectl": str(kubectl),
            "experiment_cell": CELLS[variant], "experiment_index": 0, "load_exit": load_exit,
            "_experiment_plan": {"cells": list(CELLS.values())}, "_experiment_dir": str(tmp_path),
            "_experiment_capacity": dict.fromkeys(SITES, 20), "ansible_python_interpreter": sys.executable,
        }  # fmt: skip
        task = {"include_role": {"name": "experiment", "tasks_from": "cell"}}
        playbook = tmp_path / "playbook.yml"
        playbook.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "tasks": [task]}]))
        ended = subprocess.run(
            [ansible, "--inventory=localhost,", f"--extra-vars={json.dumps(variables)}", playbook],
            cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
            env=os.environ | {"ANSIBLE_ROLES_PATH": f"{tmp_path / 'roles'}:{ROOT / 'roles'}"},
        )  # fmt: skip
        assert notes.is_file(), ended.stdout + ended.stderr
        print(ended.stdout)  # shown when the test fails
        noted = tmp_path / CELLS[variant]["directory"] / "cell.json"
        return (
            ended.returncode,
            notes.read_text().splitlines(),
            json.loads(noted.read_text()) if noted.is_file() else {},
        )

    return run


def test_autoscalers_stand_while_the_load_runs(run_cell: Callable[..., Any]) -> None:
    code, happened, noted = run_cell("hpa")
    assert code == 0
    assert happened == [
        "edge1 edgeapp to 2", "edge2 edgeapp to 2", "load", "edge1 edgeapp absent", "edge2 edgeapp absent",
    ]  # fmt: skip
    ready = ["2026-11-24T02:00:00Z", "2026-11-24T02:00:31Z"]
    assert noted == {
        "replicas_ready_at": {"edge1": ready, "edge2": ready, "cloud": ready},
        "application_cpu_s": {"edge1": 24.68, "edge2": 24.68, "cloud": 12.34},
    }


def test_autoscalers_go_also_when_the_load_fails(run_cell: Callable[..., Any]) -> None:
    code, happened, _ = run_cell("hpa", load_exit=1)
    assert code != 0
    assert happened[2:] == ["load", "edge1 edgeapp absent", "edge2 edgeapp absent"]


def test_a_variant_without_them_has_none_and_notes_what_was_used(run_cell: Callable[..., Any]) -> None:
    code, happened, noted = run_cell("local-90s")
    assert (code, happened) == (0, ["load"])
    assert noted["application_cpu_s"]["edge1"] == 24.68
