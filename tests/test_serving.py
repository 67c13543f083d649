from __future__ import annotations

import socket
import threading

import httpx
import pytest

from spillover.model import SpilloverError
from spillover.serving import Answer, Endpoints, parse_listen


def test_known_path_is_answered_and_others_are_not() -> None:
    with Endpoints("127.0.0.1:0", {"/x": lambda: Answer.json(200, {"a": 1})}) as endpoints:
        url = f"http://127.0.0.1:{endpoints.port}"
        assert httpx.get(f"{url}/x?y=1", trust_env=False).json() == {"a": 1}
        assert httpx.get(f"{url}/z", trust_env=False).status_code == 404
        assert httpx.post(f"{url}/x", trust_env=False).status_code == 501


def test_silent_clients_do_not_grow_the_process_without_bound() -> None:
    with Endpoints("127.0.0.1:0", {"/x": lambda: Answer.text(200, "ok")}) as endpoints:
        before = threading.active_count()
        clients = [socket.create_connection(("127.0.0.1", endpoints.port)) for _ in range(60)]
        threading.Event().wait(0.2)
        assert threading.active_count() - before <= 32
        for client in clients:
            client.close()
        assert httpx.get(f"http://127.0.0.1:{endpoints.port}/x", trust_env=False).text == "ok\n"


def test_nan_is_never_served_as_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Answer.json(200, float("nan"))


@pytest.mark.parametrize(("listen", "parts"), [("0.0.0.0:8080", ("0.0.0.0", 8080)), ("[::1]:0", ("::1", 0))])
def test_listen_is_split(listen: str, parts: tuple[str, int]) -> None:
    assert parse_listen(listen) == parts


@pytest.mark.parametrize("listen", ["", "8080", ":8080", "a:b", "a:70000", "a:-1"])
def test_listen_that_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(SpilloverError, match="listen must be host:port, got"):
        parse_listen(listen)


def test_taken_address_is_refused_with_a_reason() -> None:
    with (
        Endpoints("127.0.0.1:0", {}) as first,
        pytest.raises(SpilloverError, match=f"listen must be a free address, got '127.0.0.1:{first.port}'"),
    ):
        Endpoints(f"127.0.0.1:{first.port}", {})
