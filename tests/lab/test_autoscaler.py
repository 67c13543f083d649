"""Kubernetes' HorizontalPodAutoscaler at edge1, as an experiment puts it there and takes it away."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from lab_helpers import CLIENT_PORT, HOST, KUBECONFIG, KUBECTL, ROOT, SITES, changes, kubectl, playbook, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

SITE, APPLICATION = "edge1", "edgeapp"
CALLERS = 8
PUT = "metrics_server : Let metrics-server be present at edge1"
Changes = dict[tuple[str, str], list[Any]]


def role(folder: Path, name: str, **variables: Any) -> Changes:
    """Run one role for edge1 and return what it changed."""
    common = {f"{name}_context": SITE, f"{name}_kubeconfig": str(KUBECONFIG), f"{name}_kubectl": str(KUBECTL)}
    task = {"ansible.builtin.include_role": {"name": name}, "vars": common | variables}
    path = folder / f"{name}.json"
    path.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "tasks": [task]}]))
    return changes(playbook(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("autoscaler")
    (path / "more.json").write_text(json.dumps({"all": {"children": {"autoscaled": {"hosts": {SITE: {}}}}}}))
    return path


def metrics_server(folder: Path, *arguments: str) -> Changes:
    inventories = ["--inventory=inventory/lab", f"--inventory={folder / 'more.json'}"]
    return changes(playbook("metrics_server", *inventories, *arguments))


@pytest.fixture(scope="module")
def predicted(folder: Path) -> Changes:
    role(folder, "metrics_server", metrics_server_state="absent")
    return metrics_server(folder, "--check", "--diff")


@pytest.fixture(scope="module")
def put(predicted: Changes, folder: Path) -> Iterator[Changes]:  # noqa: ARG001  a prediction comes first
    try:
        yield metrics_server(folder)
    finally:
        role(folder, "metrics_server", metrics_server_state="absent")


def wanted_and_ready() -> tuple[int, int]:
    """Return how many replicas the application should have, and how many are ready."""
    stored = json.loads(kubectl(SITE, "--namespace=apps", "get", f"deployment/{APPLICATION}", "--output=json"))
    return stored["spec"]["replicas"], stored["status"].get("readyReplicas", 0)


@contextmanager
def callers() -> Iterator[None]:
    """Keep the application busy, with one request at a time from each caller."""
    picture = (ROOT / "loadtest/images/rocket.jpg").read_bytes()
    url = f"http://{SITES[SITE]['address']}:{CLIENT_PORT}/thumbnail?width=128"
    stop = threading.Event()

    def call() -> None:
        with httpx.Client(headers={"Host": HOST}, timeout=30, trust_env=False) as client:
            while not stop.is_set():
                client.post(url, content=picture)

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_check_mode_predicts_metrics_server(predicted: Changes, put: Changes) -> None:
    assert ("edge1", PUT) in predicted
    assert ("edge1", PUT) in put


def test_a_second_run_changes_nothing(put: Changes, folder: Path) -> None:  # noqa: ARG001  the first run
    assert metrics_server(folder) == {}


def test_the_replicas_follow_the_load_to_the_room_that_there_is_and_are_one_again_afterwards(
    put: Changes, folder: Path
) -> None:
    assert put
    room = {"autoscaler_max_replicas": 2, "autoscaler_target_cpu_percent": 20}
    try:
        assert role(folder, "autoscaler", **room)
        assert role(folder, "autoscaler", **room) == {}
        assert wanted_and_ready()[0] == 1
        with callers():
            wait_for(lambda: wanted_and_ready() == (2, 2), timeout_s=90)
    finally:
        assert role(folder, "autoscaler", autoscaler_state="absent")
    assert kubectl(SITE, "--namespace=apps", "get", "horizontalpodautoscalers", "--output=name") == ""
    wait_for(lambda: wanted_and_ready() == (1, 1), timeout_s=60)
    assert role(folder, "autoscaler", autoscaler_state="absent") == {}
