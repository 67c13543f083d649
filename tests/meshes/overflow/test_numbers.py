from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spillover.meshes import overflow
from spillover.meshes.overflow import numbers
from spillover.meshes.overflow.numbers import Numbers
from spillover.model import SpilloverError

IDENTITIES = {"edge2": "spiffe://edge2.lab/ns/istio-system/sa/gateway", "cloud": "spiffe://cloud.lab/ns/g/sa/gateway"}
SITE = overflow.OverflowSite(
    application="edgeapp",
    namespace="apps",
    host="edgeapp.example",
    peers=(
        overflow.Peer("edge2", "198.18.0.12", 30443, IDENTITIES["edge2"]),
        overflow.Peer("cloud", "198.18.0.13", 30443, IDENTITIES["cloud"]),
    ),
    origins=IDENTITIES,
)


def some_numbers(**changes: Any) -> Numbers:
    values: dict[str, Any] = {
        "bucket_rps": 8.0,
        "inflight_limit": 3,
        "last_limit": 40,
        "peer_weights": {"edge2": 70, "cloud": 30},
        "grants_rps": {"edge2": 2.0, "cloud": 4.0},
        "identities": IDENTITIES,
    }
    return Numbers(**(values | changes))


def objects(made: Numbers) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the objects as an API server would hold them, by kind and name."""
    result = {}
    for manifest in overflow.manifests(SITE, made):
        stored = copy.deepcopy(manifest)
        stored["metadata"]["resourceVersion"] = "7"
        result[stored["kind"], stored["metadata"]["name"]] = stored
    return result


def patches(stored: dict[tuple[str, str], dict[str, Any]], wanted: Numbers) -> dict[tuple[str, str], list[Any]]:
    found = {key: numbers.json_patch(manifest, wanted) for key, manifest in stored.items()}
    return {key: patch for key, patch in found.items() if patch}


@given(st.floats(1e-3, 1e5), st.integers(1, 50))
def test_a_token_bucket_has_the_rate_that_was_asked_for(rate_rps: float, burst: int) -> None:
    bucket = numbers.token_bucket(rate_rps, burst)
    assert numbers.bucket_rate_rps(bucket) == pytest.approx(rate_rps, rel=1e-4)
    assert bucket["max_tokens"] >= max(burst, bucket["tokens_per_fill"])
    assert float(bucket["fill_interval"].removesuffix("s")) >= numbers._SHORTEST_FILL_S - 1e-6


def test_a_bucket_that_keeps_nothing_fills_once_an_hour() -> None:
    assert numbers.token_bucket(0.0, 2) == {"max_tokens": 2, "tokens_per_fill": 1, "fill_interval": "3600s"}


def test_no_bucket_keeps_everything() -> None:
    assert numbers.bucket_rate_rps(numbers.token_bucket(None, 2)) == numbers.LARGEST_RPS


def test_the_same_numbers_are_not_written_again() -> None:
    assert patches(objects(some_numbers()), some_numbers()) == {}


@pytest.mark.parametrize(
    ("change", "kind", "value"),
    [
        ({"bucket_rps": 10.0}, "EnvoyFilter", {"max_tokens": 2, "tokens_per_fill": 1, "fill_interval": "0.1s"}),
        ({"inflight_limit": 5}, "Sidecar", 5),
        ({"last_limit": 50}, "Sidecar", 50),
        ({"peer_weights": {"edge2": 40, "cloud": 30}}, "ServiceEntry", 40),
        (
            {"grants_rps": {"edge2": 2.0, "cloud": 5.0}},
            "EnvoyFilter",
            {"max_tokens": 2, "tokens_per_fill": 1, "fill_interval": "0.2s"},
        ),
    ],
)
def test_a_changed_number_is_the_only_thing_written(change: dict[str, Any], kind: str, value: object) -> None:
    found = patches(objects(some_numbers()), some_numbers(**change))
    assert [key[0] for key in found] == [kind]
    (patch,) = found.values()
    assert patch[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    assert [operation["value"] for operation in patch[1:]] == [value]


def test_what_a_patch_leaves_is_what_would_have_been_made() -> None:
    wanted = some_numbers(
        bucket_rps=3.0, inflight_limit=9, last_limit=99, peer_weights={"cloud": 1}, grants_rps={"cloud": 1.0}
    )
    stored = objects(some_numbers())
    for key, patch in patches(stored, wanted).items():
        for operation in patch[1:]:
            steps = [int(step) if step.isdigit() else step for step in operation["path"].split("/")[1:]]
            parent: Any = stored[key]
            for step in steps[:-1]:
                parent = parent[step]
            parent[steps[-1]] = operation["value"]
    assert stored == objects(wanted)


@pytest.mark.parametrize("rate_rps", [8.3, 7.7])
def test_a_change_of_less_than_five_per_cent_is_not_written(rate_rps: float) -> None:
    assert patches(objects(some_numbers()), some_numbers(bucket_rps=rate_rps)) == {}


def test_a_peer_without_weight_stays_an_endpoint_and_an_origin_without_grant_a_descriptor() -> None:
    made = objects(some_numbers(peer_weights={"edge2": 100}, grants_rps={"edge2": 5.0}))
    endpoints = made["ServiceEntry", "spillover-edgeapp"]["spec"]["endpoints"]
    assert {endpoint["labels"]["site"]: endpoint["weight"] for endpoint in endpoints} == {"edge2": 100, "cloud": 1}
    (patch,) = made["EnvoyFilter", "spillover-edgeapp-grants"]["spec"]["configPatches"]
    descriptors = patch["patch"]["value"]["typed_per_filter_config"]["spillover.grants"]["descriptors"]
    rates = {item["entries"][0]["value"]: numbers.bucket_rate_rps(item["token_bucket"]) for item in descriptors}
    assert rates == {IDENTITIES["edge2"]: 5.0, IDENTITIES["cloud"]: pytest.approx(1 / 3600)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"inflight_limit": 0}, "inflight_limit must be at least 1, got 0"),
        ({"last_limit": 3}, r"last_limit must be above inflight_limit \(3\), got 3"),
    ],
)
def test_limits_that_would_refuse_everything_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpilloverError, match=sentence):
        some_numbers(**change)


def test_an_object_that_was_never_stored_cannot_be_patched() -> None:
    (sidecar,) = (made for made in overflow.manifests(SITE, some_numbers()) if made["kind"] == "Sidecar")
    with pytest.raises(SpilloverError, match=r"Sidecar spillover-edgeapp has no metadata\.resourceVersion"):
        numbers.json_patch(sidecar, some_numbers(inflight_limit=8))


def test_a_stand_up_keeps_the_numbers_that_a_controller_has_set() -> None:
    set_by_controller = objects(
        some_numbers(bucket_rps=3.0, inflight_limit=9, last_limit=99, peer_weights={"cloud": 5})
    )
    for manifest in overflow.manifests(SITE, some_numbers()):
        stored = set_by_controller[manifest["kind"], manifest["metadata"]["name"]]
        assert overflow.keeping_numbers(manifest, stored)["spec"] == stored["spec"]


def test_numbers_that_belonged_to_other_peers_are_not_kept() -> None:
    (stored,) = (made for key, made in objects(some_numbers()).items() if key[0] == "ServiceEntry")
    stored["spec"]["endpoints"].reverse()
    (manifest,) = (made for made in overflow.manifests(SITE, some_numbers()) if made["kind"] == "ServiceEntry")
    assert overflow.keeping_numbers(manifest, stored) == manifest


def test_every_path_of_a_patch_is_one_that_a_controller_owns() -> None:
    wanted = some_numbers(bucket_rps=1, inflight_limit=30, last_limit=99, peer_weights={"cloud": 9}, grants_rps={})
    paths = [step["path"] for patch in patches(objects(some_numbers()), wanted).values() for step in patch[1:]]
    assert len(paths) == 7
    assert all(numbers.OWNED_PATH.fullmatch(path) for path in paths)


@pytest.mark.parametrize(
    "path",
    [
        "/spec/configPatches/0/patch/value/typed_per_filter_config/spillover.bucket/filter_enforced",
        "/spec/configPatches/0/patch/value/typed_per_filter_config/spillover.bucket",
        "/spec/configPatches/1/patch/value/route/cluster",
        "/spec/endpoints/0/address",
        "/spec/ingress/0/defaultEndpoint",
    ],
)
def test_what_is_no_number_is_not_owned(path: str) -> None:
    assert not numbers.OWNED_PATH.fullmatch(path)
