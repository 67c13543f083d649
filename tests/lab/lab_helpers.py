"""What the lab's tests share: the sites as the inventory names them, and kubectl with the lab's own kubeconfig."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
STATE = Path("/var/lib/spillover")
KUBECONFIG = STATE / "kubeconfig"
CACHE = Path(
    os.environ.get("SPILLOVER_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spillover"
)
DOCKER: list[str | Path] = ["docker", "--host=unix:///run/spillover/docker.sock"]
KUBECTL = CACHE / "binaries/current/kubernetes/kubectl"

_INVENTORY: dict[str, Any] = yaml.safe_load(
    (ROOT / "inventory/lab/group_vars/all/sites.yml").read_text(encoding="utf-8")
)
SITES: dict[str, dict[str, Any]] = _INVENTORY["spillover_sites"]
LINKS: list[dict[str, Any]] = _INVENTORY["spillover_links"]
HOST: str = _INVENTORY["spillover_host"]
CLIENT_PORT, PEER_PORT, CONTROL_PORT = 30080, 30443, 30444


def run(
    command: list[str | Path], *, timeout_s: float = 60, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command from the project's folder and return what it said; it may fail."""
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False,
        env=os.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"} | (environment or {}),
    )  # fmt: skip


def kubectl(site: str, *arguments: str, timeout_s: float = 60) -> str:
    """Return what kubectl prints; AssertionError with its complaint when it fails."""
    ended = run([KUBECTL, f"--kubeconfig={KUBECONFIG}", f"--context={site}", *arguments], timeout_s=timeout_s)
    assert ended.returncode == 0, f"kubectl {' '.join(arguments)}: {ended.stderr}"
    return ended.stdout


def rolled_out(site: str, namespace: str, deployment: str) -> None:
    """Wait until all replicas of a deployment are there and ready."""
    kubectl(
        site, f"--namespace={namespace}", "rollout", "status", deployment, "--timeout=120s", timeout_s=130,
    )  # fmt: skip


def at_door(site: str, port: int, statistic: str) -> int:
    """Return a statistic of one door of a site's gateway, by the port that it listens on."""
    text = kubectl(
        site, "--namespace=istio-system", "exec", "deployment/istio-ingressgateway", "--",
        "pilot-agent", "request", "GET", f"stats?filter=http.outbound_0.0.0.0_{port}.*{statistic}",
    )  # fmt: skip
    return int(text.strip().rpartition(": ")[2])


def bucket_of(site: str) -> tuple[str, dict[str, Any]]:
    """Return where the clients' bucket stands in the site's EnvoyFilter, as a JSON pointer, and what it is."""
    name = f"envoyfilter/spillover-{SITES[site]['workload']}-attempts"
    stored = json.loads(kubectl(site, "--namespace=istio-system", "get", name, "--output=json"))
    for place, patch in enumerate(stored["spec"]["configPatches"]):
        if configs := patch["patch"]["value"].get("typed_per_filter_config"):
            path = f"/spec/configPatches/{place}/patch/value/typed_per_filter_config/spillover.bucket/token_bucket"
            return path, configs["spillover.bucket"]["token_bucket"]
    raise AssertionError(f"{name} has no bucket")


def playbook(name: str | Path, *arguments: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a shipped playbook as the Makefile does, or one at a path, and let it report in JSON."""
    return run(
        [PROGRAMS / "ansible-playbook", name if isinstance(name, Path) else f"playbooks/{name}.yml", *arguments],
        timeout_s=timeout_s,
        environment={"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
    )


def changes(ended: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], list[Any]]:
    """Return the differences shown by each task that changed something, by host and task."""
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    # Other callbacks write around the report.
    report, _ = json.JSONDecoder().raw_decode(ended.stdout, ended.stdout.index("{\n"))
    found: dict[tuple[str, str], list[Any]] = {}
    for play in report["plays"]:
        for task in play["tasks"]:
            for host, result in task["hosts"].items():
                if result.get("changed"):
                    found.setdefault((host, task["task"]["name"]), []).append(result)
    return found


def wait_for(true: Callable[[], bool], timeout_s: float = 30) -> None:
    """Return as soon as ``true`` is."""
    ends = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < ends, f"it did not become true within {timeout_s:g} s"
        time.sleep(0.2)
