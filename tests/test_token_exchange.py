"""Working tokens at a real API server, which grants none below 600 s."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fixtures.apiserver import ApiServer, write_kubeconfig
from fixtures.robot import Robot

from spillover.clusters import Cluster, Exchange, Forbidden, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_httpserver import HTTPServer

CACHED_S = 11.0
"""An API server believes a token for up to 10 s after its account is gone."""

LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}


@pytest.fixture
def robot(apiserver: ApiServer, namespace: str) -> Robot:
    return Robot(apiserver, namespace, [LEASES])


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that were sent, in order, by whatever client."""
    sent: list[str] = []
    from kubernetes.client import ApiClient  # noqa: PLC0415  the library is patched where it stands

    call = ApiClient.call_api

    def listening(self: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(self.configuration.api_key["BearerToken"].removeprefix("Bearer "))
        return call(self, *arguments, **options)

    monkeypatch.setattr(ApiClient, "call_api", listening)
    return sent


def leases(cluster: Cluster, namespace: str) -> list[Any]:
    return list(cluster.list_objects("coordination.k8s.io/v1", "leases", namespace)["items"])


def accepted(apiserver: ApiServer, namespace: str, token: str) -> bool:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    answer = apiserver.client.get(path, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code == httpx.codes.OK


def test_a_working_token_is_used_from_then_on_and_the_old_one_stays_good(
    apiserver: ApiServer, namespace: str, robot: Robot, tmp_path: Path, used: list[str]
) -> None:
    stored = robot.token()
    cluster = Cluster.from_kubeconfig(apiserver.kubeconfig(tmp_path / "kubeconfig", token=stored), timeout_s=10)
    began_s = time.time()
    assert not cluster.exchanged
    exchange = cluster.exchange_token(600)
    assert cluster.exchanged
    assert exchange is not None
    assert exchange.good_s == 600
    assert exchange.stored_until_s == pytest.approx(began_s + 3600, abs=30)
    assert leases(cluster, namespace) == []
    assert cluster.exchange_token(600) is not None
    assert leases(cluster, namespace) == []
    first, second = used[1], used[3]
    assert used == [stored, first, first, second]
    assert len({stored, first, second}) == 3
    assert all(accepted(apiserver, namespace, token) for token in (stored, first, second))


def test_renewal_disturbs_no_call_under_way(apiserver: ApiServer, namespace: str, robot: Robot, tmp_path: Path) -> None:
    path = apiserver.kubeconfig(tmp_path / "kubeconfig", token=robot.token())
    cluster = Cluster.from_kubeconfig(path, timeout_s=10)
    stop, calls, errors = threading.Event(), [0] * 4, []

    def read(index: int) -> None:
        while not stop.is_set():
            try:
                leases(cluster, namespace)
                calls[index] += 1
            except Exception as error:  # noqa: BLE001  whatever it is, the test wants to know
                errors.append(error)

    threads = [threading.Thread(target=read, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert cluster.exchange_token(600) is not None
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert min(calls) > 0


def test_reading_the_file_again_keeps_the_working_token_until_another_is_stored(
    apiserver: ApiServer, namespace: str, robot: Robot, tmp_path: Path, used: list[str], clocked: Callable[..., Any]
) -> None:
    path = apiserver.kubeconfig(tmp_path / "kubeconfig", token=robot.token())
    cluster, pass_time = clocked(path)
    cluster.exchange_token(600)
    leases(cluster, namespace)
    working = used[-1]
    pass_time()
    leases(cluster, namespace)
    assert used[-1] == working
    stored = robot.token()
    apiserver.kubeconfig(path, token=stored)
    pass_time()
    leases(cluster, namespace)
    assert used[-1] == stored
    assert not cluster.exchanged


@pytest.fixture
def clocked() -> Callable[[Path], tuple[Cluster, Callable[[], None]]]:
    """Open a kubeconfig with a clock that a test moves beyond the age at which it is read again."""

    def opened(path: Path) -> tuple[Cluster, Callable[[], None]]:
        cluster, now_s = Cluster.from_kubeconfig(path, timeout_s=10), [time.monotonic()]
        cluster._clock = lambda: now_s[0]

        def pass_time() -> None:
            now_s[0] += 301.0

        return cluster, pass_time

    return opened


def test_the_token_of_a_deleted_account_is_refused_and_the_next_stored_one_is_used(
    apiserver: ApiServer, namespace: str, robot: Robot, tmp_path: Path
) -> None:
    path = apiserver.kubeconfig(tmp_path / "kubeconfig", token=robot.token())
    cluster = Cluster.from_kubeconfig(path, timeout_s=10)
    assert cluster.exchange_token(600) is not None
    apiserver.delete(robot.account)
    time.sleep(CACHED_S)
    with pytest.raises(Unauthorized, match="does not accept the credentials"):
        leases(cluster, namespace)
    assert not cluster.exchanged
    with pytest.raises(Unauthorized):
        cluster.exchange_token(600)
    apiserver.create(robot.account)
    apiserver.kubeconfig(path, token=robot.token())
    assert leases(cluster, namespace) == []
    assert cluster.exchange_token(600) is not None


def test_a_refused_working_token_gives_way_to_the_stored_one(
    apiserver: ApiServer, namespace: str, robot: Robot, tmp_path: Path, used: list[str]
) -> None:
    stored = robot.token()
    cluster = Cluster.from_kubeconfig(apiserver.kubeconfig(tmp_path / "kubeconfig", token=stored), timeout_s=10)
    assert cluster.exchange_token(600) is not None
    cluster._api.api_client.configuration.api_key["BearerToken"] = "Bearer expired"
    assert leases(cluster, namespace) == []
    assert used[-2:] == ["expired", stored]
    assert not cluster.exchanged


def test_an_account_without_the_right_keeps_its_token(apiserver: ApiServer, namespace: str, tmp_path: Path) -> None:
    path = apiserver.kubeconfig(tmp_path / "kubeconfig", token=apiserver.service_account_token(namespace, [LEASES]))
    cluster = Cluster.from_kubeconfig(path, timeout_s=10)
    with pytest.raises(Forbidden, match="serviceaccounts/token"):
        cluster.exchange_token(600)
    assert leases(cluster, namespace) == []


def test_what_is_no_service_accounts_token_is_used_as_it_is(apiserver: ApiServer, tmp_path: Path) -> None:
    cluster = Cluster.from_kubeconfig(apiserver.kubeconfig(tmp_path / "kubeconfig"), timeout_s=10)
    assert cluster.exchange_token(600) is None
    assert not cluster.exchanged


@pytest.mark.parametrize(
    "answer",
    [
        "[]",
        "not json {",
        "{}",
        '{"status": {"token": "x.y.z"}, "spec": {"expirationSeconds": 600}}',
        '{"status": {"token": "TOKEN"}, "spec": {"expirationSeconds": 0}}',
        '{"status": {"token": "TOKEN"}, "spec": {}}',
    ],
)
def test_garbage_is_no_token(httpserver: HTTPServer, robot: Robot, tmp_path: Path, answer: str) -> None:
    stored = robot.token()
    httpserver.expect_request(f"{robot.apiserver.path(robot.account)}/robot/token").respond_with_data(
        answer.replace("TOKEN", stored), content_type="application/json"
    )
    path = write_kubeconfig(tmp_path / "kubeconfig", server=httpserver.url_for("").rstrip("/"), token=stored)
    cluster = Cluster.from_kubeconfig(path)
    with pytest.raises(Unreachable, match="gave an answer that is not") as caught:
        cluster.exchange_token(600)
    assert stored not in str(caught.value)
    assert not cluster.exchanged


def test_an_exchange_shows_no_token() -> None:
    assert set(Exchange.__dataclass_fields__) == {"good_s", "stored_until_s"}
