"""A second application at every site, behind the same gateways: it speaks gRPC."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
from lab_helpers import CLIENT_PORT, SITES, kubectl, playbook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

APPLICATION, AUTHORITY = "callee", "callee.example"
_SERVICE = "/spillover.workload.Echo"
_OBJECTS = {
    "apps": [
        f"deployment/{APPLICATION}", f"serviceaccount/{APPLICATION}", f"service/{APPLICATION}",
        f"service/{APPLICATION}-last", f"virtualservice/{APPLICATION}", f"virtualservice/{APPLICATION}-guests",
        f"authorizationpolicy/{APPLICATION}", f"networkpolicy/{APPLICATION}", f"sidecar/spillover-{APPLICATION}",
        f"envoyfilter/spillover-{APPLICATION}-refusals",
    ],
    "istio-system": [
        f"serviceentry/spillover-{APPLICATION}", f"destinationrule/spillover-{APPLICATION}",
        f"envoyfilter/spillover-{APPLICATION}-attempts", f"envoyfilter/spillover-{APPLICATION}-grants",
    ],
}  # fmt: skip


@contextmanager
def standing() -> Iterator[None]:
    """Let it stand at every site in overflow mode, by the role that the lab's own application is made by."""
    settings = {
        "workload_name": APPLICATION,
        "workload_host": AUTHORITY,
        "workload_protocol": "grpc",
        "spillover_sites": {name: site | {"workload": APPLICATION} for name, site in SITES.items()},
    }
    try:
        ended = playbook("workload", "--extra-vars", json.dumps(settings))
        assert ended.returncode == 0, ended.stdout[-3000:]
        yield
    finally:
        for site in SITES:
            for namespace, objects in _OBJECTS.items():
                kubectl(site, f"--namespace={namespace}", "delete", "--ignore-not-found", "--wait=false", *objects)


@contextmanager
def channel(origin: str) -> Iterator[grpc.Channel]:
    """Open a connection to a site's door."""
    options = [("grpc.default_authority", AUTHORITY), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"{SITES[origin]['address']}:{CLIENT_PORT}", options) as opened:
        yield opened


def say(through: grpc.Channel, message: bytes = b"hello") -> str:
    """Say something once and return which site said it back."""
    answer, call = through.unary_unary(f"{_SERVICE}/Say").with_call(message, timeout=10)
    assert answer == message
    return served_by(call)


def chat(through: grpc.Channel, messages: Iterable[bytes]) -> grpc.Call:
    """Begin a stream, which says back each message as it comes."""
    return through.stream_stream(f"{_SERVICE}/Chat")(iter(messages))


def served_by(call: grpc.Call) -> str:
    """Return the site that serves a call."""
    return str(dict(call.initial_metadata())["x-served-by"])
