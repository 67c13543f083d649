"""A site that stands still while a crowd arrives: generator, gateway and application hold every request."""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import io
import json
import socket
from typing import TYPE_CHECKING

import pytest
from lab_helpers import CACHE, CLIENT_PORT, HOST, KUBECONFIG, KUBECTL, ROOT, SITES, at_door, kubectl, run, wait_for
from PIL import Image

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

URL = f"http://{SITES['edge1']['address']}:{CLIENT_PORT}"
# As many as 24 a second for a minute, in a quarter of the time.
RPS, DURATION_S = 96, 15
CROWD = RPS * DURATION_S
TIMEOUT_S = 32
LARGEST_PIXELS = 24_000_000
# Images in front of the crowd, and how many of them may be finished before the crowd is complete (each takes seconds).
IN_FRONT, FINISHED = 150, 60
ALL_WAIT = IN_FRONT - FINISHED + CROWD
PLAYBOOK = [
    {
        "hosts": "load_generators",
        "gather_facts": False,
        "tasks": [
            {
                "include_role": {"name": "images", "tasks_from": "names"},
                "vars": {"images_cache_dir": str(CACHE)},
            },
            {
                "include_role": {"name": "load", "tasks_from": "run"},
                "vars": {
                    "ansible_connection": "local",
                    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                    "load_image": "{{ images_refs.load }}",
                    "load_kubectl": str(KUBECTL),
                    "load_kubeconfig": str(KUBECONFIG),
                },
            },
        ],
    }
]


@pytest.fixture
def stalled() -> Iterator[None]:
    """Keep edge1's only worker busy: it works in order, and each of these images takes it seconds."""
    image = io.BytesIO()
    Image.new("RGB", (6000, LARGEST_PIXELS // 6000), "red").save(image, "PNG")
    body = image.getvalue()
    head = f"POST /thumbnail HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with contextlib.ExitStack() as connections:
        for _ in range(IN_FRONT):
            connection = socket.create_connection((SITES["edge1"]["address"], CLIENT_PORT), timeout=10)
            connections.enter_context(connection)
            connection.sendall(head + body)
        yield
    # Whoever hangs up leaves the queue, so the worker is free again after the image it has begun.


def waiting_at_application() -> int:
    """Return how many requests the application itself has taken from its proxy and not answered."""
    application = f"deployment/{SITES['edge1']['workload']}"
    text = kubectl(
        "edge1", "--namespace=apps", "exec", application, "--container=istio-proxy", "--",
        "pilot-agent", "request", "GET", "clusters",
    )  # fmt: skip
    return sum(
        int(line.rpartition("::")[2])
        for line in text.splitlines()
        if line.startswith("inbound|8080|") and "::rq_active::" in line
    )


def restarts() -> str:
    pods = f"--selector=app={SITES['edge1']['workload']}"
    return kubectl("edge1", "--namespace=apps", "get", "pods", pods, "--output=jsonpath={..restartCount}")


def send_crowd(folder: Path) -> subprocess.CompletedProcess[str]:
    """Send the crowd from the client cluster, as an experiment does, and bring its rows to ``folder``."""
    stream = {
        "origin": "edge1", "url": URL, "host": HOST, "path": "/thumbnail?width=256",
        "arrivals": "even", "steps": [{"from_s": 0, "rps": RPS}],
    }  # fmt: skip
    plan = {"streams": [stream], "duration_s": DURATION_S, "timeout_s": TIMEOUT_S, "drain_s": TIMEOUT_S + 5}
    (folder / "playbook.yml").write_text(json.dumps(PLAYBOOK))
    variables = {
        "load_plan": plan,
        "load_results_dir": str(folder),
        "load_title": "a crowd at a site that stands still",
    }
    return run(
        [ROOT / ".venv/bin/ansible-playbook", folder / "playbook.yml", f"--extra-vars={json.dumps(variables)}"],
        timeout_s=300,
        environment={"ANSIBLE_ROLES_PATH": str(ROOT / "roles")},
    )


def test_a_whole_crowd_waits_at_generator_gateway_and_application(
    tmp_path: Path,
    set_weights: Callable[[str, dict[str, int]], None],
    served_by: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> None:
    set_weights("edge1", {"edge1": 100})
    before = restarts()
    request.getfixturevalue("stalled")
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        sent = thread.submit(send_crowd, tmp_path)
        wait_for(lambda: sent.done() or waiting_at_application() >= ALL_WAIT, timeout_s=120)
        at_gateway, at_application = at_door("edge1", 8080, "downstream_rq_active"), waiting_at_application()
    assert sent.result().returncode == 0, sent.result().stdout[-3000:]
    assert at_gateway >= ALL_WAIT
    assert at_application >= ALL_WAIT

    rows = list(csv.DictReader((tmp_path / "samples.csv").open()))
    assert len(rows) == CROWD
    assert {row["error"] for row in rows} == {"timeout"}
    # The generator was not what waited: each request was sent when it was due, whatever waited already.
    lateness_ms = sorted(float(row["lateness_ms"]) for row in rows)
    assert lateness_ms[int(0.99 * CROWD)] < 1000
    assert restarts() == before
    assert served_by("edge1") == "edge1"
