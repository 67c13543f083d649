"""The definition at a real API server: what it takes, fills in, refuses and shows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from groups_fakes import SITES, raw_spec

from spillover import policies
from spillover.clusters import Cluster, Conflict, Expired, Forbidden, NotFound, Unreachable
from spillover.groups.resource import API_VERSION, KIND, PLURAL, Group, parse_spec
from spillover.groups.translation import Means, translate
from spillover.meshes.objects import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from fixtures.apiserver import ApiServer
    from pytest_httpserver import HTTPServer

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/spillovergroup.yaml"
MEANS = Means({name: Path(__file__) for name in SITES})

pytestmark = pytest.mark.usefixtures("crd")


def manifest(namespace: str, spec: dict[str, Any], name: str = "shop") -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }


def post(apiserver: ApiServer, namespace: str, spec: dict[str, Any]) -> httpx.Response:
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
    return apiserver.client.post(path, json=manifest(namespace, spec))


def ref(namespace: str) -> ObjectRef:
    return ObjectRef(API_VERSION, PLURAL, namespace, "shop")


@pytest.fixture
def cluster(apiserver: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster.from_kubeconfig(apiserver.kubeconfig(tmp_path / "kubeconfig"))


def test_the_documented_example_is_taken_and_understood(apiserver: ApiServer, namespace: str) -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    answer = post(apiserver, namespace, example["spec"])
    assert answer.status_code == 201, answer.text
    config = translate(parse_spec(answer.json()["spec"]), MEANS)
    assert list(config.sites) == ["edge1", "edge2", "cloud"]
    assert f"```yaml\n{EXAMPLE.read_text()}```" in (ROOT / "docs/groups.md").read_text()


def test_the_policies_of_the_schema_are_those_that_there_are(crd: dict[str, Any]) -> None:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert tuple(schema["policy"]["enum"]) == policies.NAMES


def test_defaults_of_the_schema_are_those_of_the_daemon(apiserver: ApiServer, namespace: str) -> None:
    spec = {"sites": [raw_spec()["sites"][2]]}
    stored = post(apiserver, namespace, spec).json()["spec"]
    assert parse_spec(stored) == parse_spec(spec)
    assert stored["sites"][0]["servers"] == 1
    assert stored["policy"] == policies.DEFAULT


def with_site(index: int, **changes: Any) -> dict[str, Any]:
    spec = raw_spec()
    spec["sites"][index] = {key: value for key, value in (spec["sites"][index] | changes).items() if value is not ...}
    return spec


GOLD: dict[str, Any] = {"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}}
PATH = {"path": {"prefix": "/batch/"}}


def with_classes(*classes: dict[str, Any]) -> dict[str, Any]:
    return raw_spec(classes=list(classes))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (raw_spec(policy="best"), 'spec.policy: Unsupported value: "best": supported values: "local"'),
        (raw_spec(mode="sideways"), 'spec.mode: Unsupported value: "sideways"'),
        (raw_spec(paused="yes"), "spec.paused in body must be of type boolean"),
        (raw_spec(periodSeconds=0), 'spec.periodSeconds: Invalid value: "number": must be at least 0.1'),
        (raw_spec(windowSeconds=0.09), 'spec.windowSeconds: Invalid value: "number": must be at least 0.1'),
        (raw_spec(windowSeconds=1e6), "spec.windowSeconds in body should be less than or equal to 3600"),
        (raw_spec(totalWeight=0), "spec.totalWeight in body should be greater than or equal to 1"),
        (
            raw_spec(limits={"maxUtilisation": 1.5}),
            "spec.limits.maxUtilisation in body should be less than or equal to 1",
        ),
        (raw_spec(costWeightMs=-1), "spec.costWeightMs in body should be greater than or equal to 0"),
        (raw_spec(onMissing="panic"), 'spec.onMissing: Unsupported value: "panic"'),
        (raw_spec(sites=[]), "spec.sites in body should have at least 1 items"),
        (raw_spec(sites=65 * [{}]), "spec.sites: Too many: 65: must have at most 64 items"),
        (raw_spec(sites=2 * raw_spec()["sites"][:1], links=[]), 'spec.sites[1]: Duplicate value: {"name":"edge1"}'),
        (with_site(0, name="Edge_1"), "spec.sites[0].name in body should match"),
        (with_site(0, capacityRpm=0), "spec.sites[0].capacityRpm in body should be greater than 0"),
        (with_site(0, capacityRpm=...), "spec.sites[0].capacityRpm: Required value"),
        (with_site(0, servers=0), "spec.sites[0].servers in body should be greater than or equal to 1"),
        (with_site(0, serviceMs=0), "spec.sites[0].serviceMs in body should be greater than 0"),
        (with_site(0, demand={}), "demand must have one of collectorUrl and source"),
        (with_site(0, demand={"collectorUrl": "http://a", "source": "b"}), "must have one of collectorUrl and source"),
        (with_site(0, demand={"source": "../token"}), "spec.sites[0].demand.source in body should match"),
        (with_site(0, demand={"collectorUrl": "edge1"}), "spec.sites[0].demand.collectorUrl in body should match"),
        (
            with_site(0, access={"kubeconfig": "../../etc/passwd"}),
            "spec.sites[0].access.kubeconfig in body should match",
        ),
        (with_site(0, access={"kubeconfig": ".hidden"}), "spec.sites[0].access.kubeconfig in body should match"),
        (with_site(2, access={"kubeconfig": "cloud"}), "site cloud must have both access and service, or neither"),
        (with_site(1, service=...), "site edge2 must have both access and service, or neither"),
        (with_site(0, identity="edge1"), "spec.sites[0].identity in body should match"),
        (with_site(0, identity=...), "in overflow mode a site that a link begins at must have an identity"),
        (with_site(0, access=..., service=...), "a site that a link begins at must have access and service"),
        (
            raw_spec(links=[{"from": "edge1", "to": "edge1"}]),
            "a link must join two sites, got one from edge1 to itself",
        ),
        (raw_spec(links=[{"from": "edge1", "to": "mars"}]), "each link must join two sites that spec.sites names"),
        (raw_spec(links=[{"from": "mars", "to": "edge1"}]), "each link must join two sites that spec.sites names"),
        (raw_spec(links=[{"from": "edge1"}]), "spec.links[0].to: Required value"),
        (
            raw_spec(links=2 * [{"from": "edge1", "to": "cloud"}]),
            'spec.links[1]: Duplicate value: {"from":"edge1","to":"cloud"}',
        ),
        (
            raw_spec(links=[{"from": "edge1", "to": "cloud", "rttMs": -1}]),
            "spec.links[0].rttMs in body should be greater than or equal to 0",
        ),
        (
            raw_spec(mode="weights", links=[{"from": "edge1", "to": "cloud"}]),
            "in weights mode each link must have a destination",
        ),
        (
            with_site(0, service={"namespace": "apps", "name": "shop"}) | {"mode": "weights"},
            "in weights mode each service must have a destination",
        ),
        ({}, "spec.sites: Required value"),
        (with_classes({"name": "Gold"}), "spec.classes[0].name in body should match"),
        (with_classes(GOLD, GOLD), "each class must be named once"),
        (
            with_classes({"name": "rest"}, GOLD),
            'spec.classes: Invalid value: "array": every class but the last must have a match',
        ),
        (with_classes({"name": "a", "match": {}}), "match must have one of header and path"),
        (with_classes({"name": "a", "match": GOLD["match"] | PATH}), "match must have one of header and path"),
        (
            with_classes({"name": "a", "match": {"header": {"name": "x-tier"}}}),
            "header x-tier must have one of exact and prefix",
        ),
        (
            with_classes({"name": "a", "match": {"header": {"name": ":path", "exact": "/"}}}),
            "spec.classes[0].match.header.name in body should match",
        ),
        (with_classes({"name": "a", "match": {"path": {}}}), "spec.classes[0].match.path.prefix: Required value"),
        (
            with_classes({"name": "a", "match": {"path": {"prefix": "batch"}}}),
            "spec.classes[0].match.path.prefix in body should match",
        ),
        (with_classes(*(17 * [GOLD])), "spec.classes: Too many: 17: must have at most 16 items"),
    ],
)
def test_a_bad_spec_is_refused_with_a_sentence(
    apiserver: ApiServer, namespace: str, spec: dict[str, Any], sentence: str
) -> None:
    answer = post(apiserver, namespace, spec)
    assert answer.status_code == 422, answer.text
    assert sentence in answer.json()["message"]


def test_the_largest_group_is_within_the_cost_of_the_rules(apiserver: ApiServer, namespace: str) -> None:
    site = raw_spec()["sites"][0]
    names = [f"{index:02d}{'x' * 61}" for index in range(64)]
    sites = [site | {"name": name} for name in names]
    links = [{"from": origin, "to": peer, "destination": "d"} for origin in names for peer in names if origin != peer]
    answer = post(apiserver, namespace, raw_spec(mode="weights", sites=sites, links=links[-512:]))
    assert answer.status_code == 201, answer.text


def test_classes_are_taken_in_their_order_and_the_most_are_within_the_cost(
    apiserver: ApiServer, namespace: str
) -> None:
    many = [GOLD | {"name": f"{place:02d}{'x' * 61}"} for place in range(13)]
    answer = post(apiserver, namespace, with_classes(GOLD, {"name": "batch", "match": PATH}, *many, {"name": "rest"}))
    assert answer.status_code == 201, answer.text
    names = translate(parse_spec(answer.json()["spec"]), MEANS).class_names
    assert names == ("gold", "batch", *(one["name"] for one in many), "rest")


def test_an_unknown_field_does_not_get_in(apiserver: ApiServer, namespace: str) -> None:
    stored = post(apiserver, namespace, raw_spec(token="canary-0b1")).json()  # noqa: S106  a value to look for
    assert "canary-0b1" not in json.dumps(stored["spec"])


def test_the_generation_follows_the_spec_and_not_the_status(
    apiserver: ApiServer, namespace: str, cluster: Cluster
) -> None:
    made = apiserver.create(manifest(namespace, raw_spec()))
    reported = cluster.replace_status(
        ref(namespace), made["metadata"]["uid"], {"observedGeneration": 1, "demandRpm": 2.5}
    )
    assert (reported["metadata"]["generation"], reported["status"]) == (1, {"observedGeneration": 1, "demandRpm": 2.5})
    assert apiserver.merge(made, {"spec": {"paused": True}})["metadata"]["generation"] == 2
    assert apiserver.merge(made, {"status": {"observedGeneration": 9}})["status"]["observedGeneration"] == 1


def test_a_status_for_a_group_that_was_replaced_is_a_conflict(
    apiserver: ApiServer, namespace: str, cluster: Cluster
) -> None:
    first = apiserver.create(manifest(namespace, raw_spec()))
    apiserver.delete(first)
    apiserver.create(manifest(namespace, raw_spec()))
    with pytest.raises(Conflict):
        cluster.replace_status(ref(namespace), first["metadata"]["uid"], {"observedGeneration": 1})
    with pytest.raises(NotFound):
        cluster.replace_status(ref(namespace)._replace(name="absent"), "x", {"observedGeneration": 1})


STATUS = {
    "observedGeneration": 1,
    "demandRpm": 1500,
    "spilledRpm": 600,
    "gapPercent": 2.13,
    "conditions": [
        {
            "type": name,
            "status": value,
            "reason": "Because",
            "message": "",
            "lastTransitionTime": "2026-11-24T02:00:00Z",
            "observedGeneration": 1,
        }
        for name, value in (("Ready", "True"), ("Saturated", "False"))
    ],
}


def test_a_table_shows_what_people_ask_for(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    made = apiserver.create(manifest(namespace, raw_spec()))
    cluster.replace_status(ref(namespace), made["metadata"]["uid"], STATUS)
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
    table = apiserver.request("GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    names = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    assert names == ["Name", "Policy", "Mode", "Demand", "Spilled", "Saturated", "Gap", "Age"]
    cells = dict(zip([column["name"] for column in table["columnDefinitions"]], table["rows"][0]["cells"], strict=True))
    assert [cells[name] for name in names[:-1]] == ["shop", "cooperative", "overflow", 1500, 600, "False", 2.13]
    assert (cells["Ready"], cells["Accepted"]) == ("True", None)


def test_kubectl_waits_for_ready_and_not_for_an_older_generation(
    apiserver: ApiServer, namespace: str, cluster: Cluster, kubectl: Callable[..., str]
) -> None:
    made = apiserver.create(manifest(namespace, raw_spec()))
    cluster.replace_status(ref(namespace), made["metadata"]["uid"], STATUS)
    wait = ("wait", "--for=condition=Ready", "spillovergroup/shop", "--timeout=2s")
    assert "condition met" in kubectl(*wait)
    assert kubectl("get", "sg").split()[:8] == [
        "NAME",
        "POLICY",
        "MODE",
        "DEMAND",
        "SPILLED",
        "SATURATED",
        "GAP",
        "AGE",
    ]
    apiserver.merge(made, {"spec": {"periodSeconds": 2}})
    with pytest.raises(AssertionError, match="timed out waiting"):
        kubectl(*wait)


def test_a_watch_tells_what_happens_after_a_list(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    listed = cluster.list_objects(API_VERSION, PLURAL, namespace)
    assert listed["items"] == []
    made = apiserver.create(manifest(namespace, raw_spec()))
    apiserver.merge(made, {"spec": {"paused": True}})
    apiserver.delete(made)
    version = listed["metadata"]["resourceVersion"]
    events = list(cluster.watch_objects(API_VERSION, PLURAL, namespace, version, watch_s=1))
    seen = [(event["type"], Group.of(event["object"]).paused) for event in events if event["type"] != "BOOKMARK"]
    assert seen == [("ADDED", False), ("MODIFIED", True), ("DELETED", True)]


def test_an_event_arrives_while_the_watch_goes_on(apiserver: ApiServer, namespace: str, cluster: Cluster) -> None:
    version = cluster.list_objects(API_VERSION, PLURAL, namespace)["metadata"]["resourceVersion"]
    apiserver.create(manifest(namespace, raw_spec()))
    began_s = time.monotonic()
    assert next(cluster.watch_objects(API_VERSION, PLURAL, namespace, version, watch_s=20))["type"] == "ADDED"
    assert time.monotonic() - began_s < 5


def test_a_version_from_before_all_that_is_kept_has_expired(namespace: str, cluster: Cluster) -> None:
    with pytest.raises(Expired, match="has forgotten that version"):
        list(cluster.watch_objects(API_VERSION, PLURAL, namespace, "1", watch_s=1))


def test_a_kind_that_is_not_defined_is_told_from_an_empty_list(namespace: str, cluster: Cluster) -> None:
    with pytest.raises(NotFound, match="does not serve this kind"):
        cluster.list_objects("spillover.dev/v9", PLURAL, namespace)
    with pytest.raises(NotFound, match="does not serve this kind"):
        list(cluster.watch_objects("spillover.dev/v9", PLURAL, namespace, "1", watch_s=1))


def test_an_event_shows_at_its_group(
    apiserver: ApiServer, namespace: str, cluster: Cluster, kubectl: Callable[..., str]
) -> None:
    made = apiserver.create(manifest(namespace, raw_spec()))
    regarding = {"apiVersion": API_VERSION, "kind": KIND, "namespace": namespace, "name": "shop"}
    cluster.create_event(
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": namespace, "name": "shop.1"},
            "eventTime": "2026-11-24T02:00:00.000000Z",
            "type": "Warning",
            "reason": "Missing",
            "action": "MetricsAvailable",
            "note": "the demand is not known: edge1",
            "regarding": regarding | {"uid": made["metadata"]["uid"]},
            "reportingController": "spillover.dev/controller",
            "reportingInstance": "me",
        }
    )
    assert "the demand is not known: edge1" in kubectl("describe", "spillovergroup", "shop")


WATCH_PATH = f"/apis/{API_VERSION}/namespaces/apps/{PLURAL}"


def at(server: HTTPServer, directory: Path) -> Cluster:
    path = directory / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "a", "cluster": {"server": server.url_for("").rstrip("/")}}],
                "users": [{"name": "a", "user": {"token": "t"}}],
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                "current-context": "a",
            }
        )
    )
    return Cluster.from_kubeconfig(path, timeout_s=0.5)


@pytest.mark.parametrize(
    ("body", "status", "error", "sentence"),
    [
        ("not json\n", 200, Unreachable, "gave an answer that is not JSON"),
        ("[1]\n", 200, Unreachable, "not an event of a watch"),
        ('{"type": "ADDED"}\n', 200, Unreachable, "not an event of a watch"),
        ('{"type": "ERROR", "object": {"kind": "Status", "code": 410}}\n', 200, Expired, "has forgotten"),
        (
            '{"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "ill"}}\n',
            200,
            Unreachable,
            "500: ill",
        ),
        ("", 503, Unreachable, "failed with 503"),
        ('{"kind": "Status", "code": 403, "message": "no"}', 403, Forbidden, "forbids it: no"),
    ],
)
def test_a_watch_that_goes_wrong_is_one_sentence(
    httpserver: HTTPServer, tmp_path: Path, body: str, status: int, error: type[Exception], sentence: str
) -> None:
    httpserver.expect_request(WATCH_PATH).respond_with_data(body, status=status)
    with pytest.raises(error, match=sentence):
        list(at(httpserver, tmp_path).watch_objects(API_VERSION, PLURAL, "apps", "1", watch_s=1))


def test_a_watch_that_hangs_is_given_up_a_deadline_after_its_end(httpserver: HTTPServer, tmp_path: Path) -> None:
    def hang(_: Any) -> Any:
        time.sleep(4)

    httpserver.expect_request(WATCH_PATH).respond_with_handler(hang)
    began_s = time.monotonic()
    with pytest.raises(Unreachable, match=r"did not answer within 1\.5 s"):
        list(at(httpserver, tmp_path).watch_objects(API_VERSION, PLURAL, "apps", "1", watch_s=1))
    assert time.monotonic() - began_s < 3
