from __future__ import annotations

import socket
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fixtures.apiserver import ApiServer, write_kubeconfig
from fixtures.processes import free_port
from kubernetes import client

from spillover.clusters import (
    Cluster,
    ClusterError,
    Conflict,
    Forbidden,
    NotFound,
    Unauthorized,
    Unreachable,
)
from spillover.controller.leadership import Lease
from spillover.meshes import istio
from spillover.meshes.objects import ObjectRef, read_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_httpserver import HTTPServer

SECRET = "canary-9f2d41"  # noqa: S105  a value to look for
WEIGHTS = {"svc1/v2": 25, "svc1/v1": 75}
TEST_VERSION = {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}
OBJECT_PATH = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/svc1"


def service(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "svc1", "namespace": namespace},
        "spec": {
            "hosts": ["svc1"],
            "http": [
                {
                    "route": [
                        {"destination": {"host": "svc1", "subset": "v2"}, "weight": 50},
                        {"destination": {"host": "svc1", "subset": "v1"}, "weight": 50},
                    ]
                }
            ],
        },
    }


@pytest.fixture
def cluster(apiserver: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster.from_kubeconfig(apiserver.kubeconfig(tmp_path / "kubeconfig"), timeout_s=10)


def cluster_at(server: str, tmp_path: Path, timeout_s: float = 5.0) -> Cluster:
    return Cluster.from_kubeconfig(
        write_kubeconfig(tmp_path / "kubeconfig", server=server, token=SECRET), timeout_s=timeout_s
    )


def test_weights_are_written_and_nothing_else(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    created = apiserver.create(service(namespace))
    patch = istio.json_patch(cluster.get_virtual_service(namespace, "svc1"), WEIGHTS)
    after = cluster.patch_virtual_service_weights(namespace, "svc1", patch)
    assert istio.read_weights(after) == WEIGHTS
    stored = apiserver.read(service(namespace))
    assert stored["spec"] == istio.set_weights(created, WEIGHTS)[0]["spec"]


def test_a_dry_run_predicts_and_stores_nothing(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    created = apiserver.create(service(namespace))
    after = cluster.patch_virtual_service_weights(namespace, "svc1", istio.json_patch(created, WEIGHTS), dry_run=True)
    assert istio.read_weights(after) == WEIGHTS
    assert apiserver.read(service(namespace)) == created


def test_a_call_does_not_look_for_proxies_again(
    apiserver: ApiServer, namespace: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = apiserver.create(service(namespace))
    looks: list[str] = []
    monkeypatch.setattr("kubernetes.client.configuration.getproxies", lambda: looks.append("again") or {})
    assert cluster.get_virtual_service(namespace, "svc1") == created
    assert not looks


def test_a_stale_resource_version_is_a_conflict(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    stale = apiserver.create(service(namespace))
    changed = apiserver.merge(service(namespace), {"metadata": {"labels": {"touched": "yes"}}})
    with pytest.raises(Conflict, match="changed by someone else after it was read"):
        cluster.patch_virtual_service_weights(namespace, "svc1", istio.json_patch(stale, WEIGHTS))
    assert apiserver.read(service(namespace)) == changed


def test_a_value_that_the_schema_refuses_is_no_conflict(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    created = apiserver.create(service(namespace))
    patch = istio.json_patch(created, WEIGHTS)
    patch[1]["value"] = "many"
    with pytest.raises(ClusterError, match=r"refused .* with 422: .*weight") as caught:
        cluster.patch_virtual_service_weights(namespace, "svc1", patch)
    assert not isinstance(caught.value, Conflict)


def test_a_webhook_that_denies_is_no_conflict(httpserver: HTTPServer, tmp_path: Path) -> None:
    said = 'admission webhook "rev.validation.istio.io" denied the request: weight < 0'
    status = {"kind": "Status", "code": 422, "reason": "Invalid", "message": said}
    httpserver.expect_request(OBJECT_PATH, method="PATCH").respond_with_json(status, status=422)
    with pytest.raises(ClusterError, match="denied the request: weight < 0") as caught:
        cluster_at(httpserver.url_for(""), tmp_path).patch_virtual_service_weights("default", "svc1", [TEST_VERSION])
    assert not isinstance(caught.value, Conflict)


def test_an_epoch_is_raised_and_nothing_else(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    created = apiserver.create(service(namespace))
    after = cluster.raise_epoch(ref(namespace), created["metadata"]["resourceVersion"], 7)
    assert read_epoch(after) == 7
    assert after == apiserver.read(service(namespace))
    assert after["spec"] == created["spec"]
    assert after["metadata"]["annotations"] == {"spillover.dev/epoch": "7"}


def test_other_annotations_stay_when_an_epoch_is_raised(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    apiserver.create(service(namespace))
    found = apiserver.merge(service(namespace), {"metadata": {"annotations": {"theirs": "kept"}}})
    after = cluster.raise_epoch(ref(namespace), found["metadata"]["resourceVersion"], 7)
    assert after["metadata"]["annotations"] == {"theirs": "kept", "spillover.dev/epoch": "7"}


def test_an_epoch_on_a_version_that_is_no_more_is_a_conflict(
    apiserver: ApiServer, namespace: str, cluster: Cluster
) -> None:
    stale = apiserver.create(service(namespace))
    changed = apiserver.merge(service(namespace), {"metadata": {"labels": {"touched": "yes"}}})
    with pytest.raises(Conflict, match="changed by someone else after it was read"):
        cluster.raise_epoch(ref(namespace), stale["metadata"]["resourceVersion"], 7)
    assert apiserver.read(service(namespace)) == changed


def test_weights_that_were_under_way_when_an_epoch_was_raised_are_refused(
    apiserver: ApiServer, namespace: str, cluster: Cluster
) -> None:
    found = apiserver.create(service(namespace))
    under_way = istio.json_patch(found, WEIGHTS)
    claimed = cluster.raise_epoch(ref(namespace), found["metadata"]["resourceVersion"], 7)
    with pytest.raises(Conflict):
        cluster.patch_virtual_service_weights(namespace, "svc1", under_way)
    assert apiserver.read(service(namespace)) == claimed


def ref(namespace: str) -> ObjectRef:
    return ObjectRef("networking.istio.io/v1", "virtualservices", namespace, "svc1")


def lease(namespace: str, holder: str, version: str = "") -> dict[str, Any]:
    return Lease(holder, 3, 6.0, "2026-11-24T02:00:00.000001Z", "2026-11-24T02:00:01.000000Z", version).manifest(
        namespace, "controller"
    )


def test_a_lease_is_made_read_and_replaced(namespace: str, cluster: Cluster) -> None:
    with pytest.raises(NotFound, match=f"Lease {namespace}/controller does not exist"):
        cluster.get_lease(namespace, "controller")
    made = cluster.write_lease(lease(namespace, "first"))
    found = Lease.of(cluster.get_lease(namespace, "controller"))
    assert found == Lease.of(made)
    assert found.manifest(namespace, "controller") == lease(namespace, "first", found.version)
    replaced = cluster.write_lease(lease(namespace, "", found.version))
    assert Lease.of(replaced).holder == ""
    assert Lease.of(replaced).version != found.version


def test_of_two_who_make_or_replace_a_lease_one_meets_a_conflict(namespace: str, cluster: Cluster) -> None:
    version = cluster.write_lease(lease(namespace, "first"))["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        cluster.write_lease(lease(namespace, "second"))
    cluster.write_lease(lease(namespace, "second", version))
    with pytest.raises(Conflict):
        cluster.write_lease(lease(namespace, "first", version))
    assert Lease.of(cluster.get_lease(namespace, "controller")).holder == "second"


def test_the_account_of_a_pod_reaches_its_own_cluster(
    apiserver: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create"]}]
    token = tmp_path / "token"
    token.write_text(apiserver.service_account_token(namespace, rules))
    host, port = apiserver.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr("kubernetes.config.incluster_config.SERVICE_CERT_FILENAME", str(apiserver.ca_file))
    mine = Cluster.from_pod()
    made = mine.write_lease(lease(namespace, "me"))
    assert mine.get_lease(namespace, "controller") == made
    with pytest.raises(Forbidden, match="cannot update resource"):
        mine.write_lease(lease(namespace, "", made["metadata"]["resourceVersion"]))


def test_outside_of_a_pod_there_is_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterError, match="the account of this pod cannot be used"):
        Cluster.from_pod()


def test_an_absent_service_is_named(namespace: str, cluster: Cluster) -> None:
    with pytest.raises(NotFound, match=f"VirtualService {namespace}/absent .* does not exist at https://127"):
        cluster.get_virtual_service(namespace, "absent")


def test_an_unserved_version_is_told_from_an_absent_object(namespace: str, cluster: Cluster) -> None:
    with pytest.raises(NotFound, match="does not serve this kind"):
        cluster.get_virtual_service(namespace, "svc1", "networking.istio.io/v9")


@pytest.mark.parametrize("api_version", ["v1", "a/b/c", "/v1", "networking.istio.io/"])
def test_an_api_version_without_group_is_refused(cluster: Cluster, api_version: str) -> None:
    with pytest.raises(ClusterError, match="api_version must be group/version"):
        cluster.get_virtual_service("default", "svc1", api_version)


def test_a_bad_token_is_refused_and_not_told(apiserver: ApiServer, namespace: str, tmp_path: Path) -> None:
    cluster = Cluster.from_kubeconfig(apiserver.kubeconfig(tmp_path / "kubeconfig", token=SECRET))
    with pytest.raises(Unauthorized, match="does not accept the credentials") as caught:
        cluster.get_virtual_service(namespace, "svc1")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_renewed_token_is_picked_up_after_401(apiserver: ApiServer, namespace: str, tmp_path: Path) -> None:
    apiserver.create(service(namespace))
    path = apiserver.kubeconfig(tmp_path / "kubeconfig", token=SECRET)
    cluster = Cluster.from_kubeconfig(path)
    apiserver.kubeconfig(path)
    assert cluster.get_virtual_service(namespace, "svc1")["metadata"]["name"] == "svc1"


def test_a_restricted_account_reads_and_may_not_write(apiserver: ApiServer, namespace: str, tmp_path: Path) -> None:
    created = apiserver.create(service(namespace))
    rules = [{"apiGroups": ["networking.istio.io"], "resources": ["virtualservices"], "verbs": ["get"]}]
    token = apiserver.service_account_token(namespace, rules)
    cluster = Cluster.from_kubeconfig(apiserver.kubeconfig(tmp_path / "kubeconfig", token=token))
    assert cluster.get_virtual_service(namespace, "svc1") == created
    with pytest.raises(Forbidden, match="cannot patch resource"):
        cluster.patch_virtual_service_weights(namespace, "svc1", istio.json_patch(created, WEIGHTS))


def test_an_untrusted_certificate_is_unreachable(apiserver: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="certificate verify failed"):
        cluster_at(apiserver.url, tmp_path).get_virtual_service("default", "svc1")


def test_a_closed_port_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be reached: Connection refused"):
        cluster_at(f"http://127.0.0.1:{free_port()}", tmp_path).get_virtual_service("default", "svc1")


@pytest.fixture
def silent_address() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_hung_server_costs_one_deadline(silent_address: str, tmp_path: Path) -> None:
    cluster = cluster_at(silent_address, tmp_path, timeout_s=0.3)
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"did not answer within 0\.3 s"):
        cluster.get_virtual_service("default", "svc1")
    assert 0.3 <= time.monotonic() - begun < 0.9


@pytest.mark.parametrize(("status", "retry_after_s"), [(500, None), (503, None), (429, 7.0)])
def test_an_ill_server_is_asked_once(
    httpserver: HTTPServer, tmp_path: Path, status: int, retry_after_s: float | None
) -> None:
    headers = {"Retry-After": str(retry_after_s).removesuffix(".0")} if retry_after_s else {}
    httpserver.expect_request(OBJECT_PATH).respond_with_data("ill", status=status, headers=headers)
    with pytest.raises(Unreachable, match=f"failed with {status}") as caught:
        cluster_at(httpserver.url_for(""), tmp_path).get_virtual_service("default", "svc1")
    assert caught.value.retry_after_s == retry_after_s
    assert len(httpserver.log) == 1


@pytest.mark.parametrize("answer", ["not json {", "[1, 2]", ""])
def test_garbage_is_an_error_of_the_server(httpserver: HTTPServer, tmp_path: Path, answer: str) -> None:
    httpserver.expect_request(OBJECT_PATH).respond_with_data(answer, content_type="application/json")
    with pytest.raises(Unreachable, match="gave an answer that is not"):
        cluster_at(httpserver.url_for(""), tmp_path).get_virtual_service("default", "svc1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file"),
        ("", "cannot be"),
        ("{", "cannot be read as a kubeconfig"),
        (f"token: {SECRET}", "cannot be used"),
        (f"[{SECRET}]", "cannot be"),
    ],
)
def test_an_unusable_kubeconfig_is_named_and_not_quoted(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ClusterError, match=f"kubeconfig {path} {message}") as caught:
        Cluster.from_kubeconfig(path)
    assert SECRET not in str(caught.value)


def test_an_unknown_context_is_named(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", server="http://127.0.0.1:1", token=SECRET)
    with pytest.raises(ClusterError, match="edge9"):
        Cluster.from_kubeconfig(path, "edge9")


def test_a_deadline_of_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="timeout_s must be above 0, got 0"):
        cluster_at("http://127.0.0.1:1", tmp_path, timeout_s=0)


@pytest.mark.parametrize(
    "patch",
    [
        [],
        [{"op": "add", "path": "/spec/http/0/route/0/weight", "value": 1}],
        [TEST_VERSION, {"op": "add", "path": "/spec/hosts/0", "value": "*"}],
        [TEST_VERSION, {"op": "add", "path": "/spec/http/0/route/0/destination/weight", "value": 1}],
    ],
)
def test_a_patch_that_could_touch_more_than_weights_is_refused(tmp_path: Path, patch: list[dict[str, Any]]) -> None:
    with pytest.raises(ClusterError, match="a patch of weights must"):
        cluster_at("http://127.0.0.1:1", tmp_path).patch_virtual_service_weights("default", "svc1", patch)


class Connections:
    """Hands out clients whose credentials are good from a given one on."""

    def __init__(self, good_from: int) -> None:
        self.made = 0
        self._good_from = good_from

    def __call__(self) -> Any:
        self.made += 1
        good = self.made >= self._good_from

        def get(*_: Any, **__: Any) -> dict[str, Any]:
            if not good:
                raise client.ApiException(status=401, reason="Unauthorized")
            return {"kind": "VirtualService"}

        configuration = SimpleNamespace(host="http://test")
        return SimpleNamespace(
            get_namespaced_custom_object=get, api_client=SimpleNamespace(configuration=configuration)
        )


def test_credentials_are_read_again_once_for_a_401() -> None:
    connections = Connections(good_from=99)
    cluster = Cluster(connections, timeout_s=1)
    with pytest.raises(Unauthorized):
        cluster.get_virtual_service("default", "svc1")
    assert connections.made == 2


def test_threads_that_meet_the_same_401_renew_once() -> None:
    connections = Connections(good_from=2)
    cluster = Cluster(connections, timeout_s=1)
    barrier = threading.Barrier(8)

    def read(_: int) -> dict[str, Any]:
        barrier.wait()
        return cluster.get_virtual_service("default", "svc1")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [{"kind": "VirtualService"}] * 8
    assert connections.made == 2


def test_credentials_are_read_again_on_a_timer() -> None:
    now = [1000.0]
    connections = Connections(good_from=1)
    cluster = Cluster(connections, timeout_s=1, renew_s=300, clock=lambda: now[0])
    for at_s, made in ((1300.0, 1), (1300.5, 2), (1600.0, 2), (1601.0, 3)):
        now[0] = at_s
        cluster.get_virtual_service("default", "svc1")
        assert connections.made == made
