"""The controllers of the lab: which there are, which one leads, and what it says of its periods."""

from __future__ import annotations

import json
from typing import Any

from lab_helpers import kubectl

CONTROLLERS = "--namespace=spillover-system"

_ASK = "import sys, urllib.request as request; print(request.urlopen(sys.argv[1], timeout=5).read().decode())"


def answer(path: str, controller: str = "deployment/controller") -> str:
    """Return what a controller answers to ``path``: any one, or a pod that is named."""
    url = f"http://127.0.0.1:8080{path}"
    return kubectl("cloud", CONTROLLERS, "exec", controller, "--container=controller", "--", "python3", "-c", _ASK, url)


def pods() -> list[str]:
    """Return the controllers' pods."""
    text = kubectl("cloud", CONTROLLERS, "get", "pods", "--selector=app=controller", "--output=name")
    return [line.removeprefix("pod/") for line in text.split()]


def holder() -> str:
    """Return who holds the lease."""
    return kubectl("cloud", CONTROLLERS, "get", "lease/controller", "--output=jsonpath={.spec.holderIdentity}")


def leader() -> str:
    """Return the pod that holds the lease; the rest of a holder's name is the process."""
    return holder().rpartition("_")[0]


def ticks(since_s: int) -> list[dict[str, Any]]:
    """Return the last ticks of the controller that leads, oldest first; none while nobody does."""
    if leader() not in pods():
        return []
    text = kubectl(
        "cloud", CONTROLLERS, "logs", f"pod/{leader()}", "--container=controller", f"--since={since_s}s", "--tail=-1"
    )
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "tick" and line["leading"]]
