from __future__ import annotations

import json
from typing import Any

import pytest

from spillover.meshes import overflow
from spillover.meshes.overflow.gateway import OWN_HEADERS, SPILL_FILTER

IDENTITIES = {"edge2": "spiffe://edge2.lab/gateway", "cloud": "spiffe://cloud.lab/gateway"}


def site(**changes: Any) -> overflow.OverflowSite:
    values: dict[str, Any] = {
        "application": "edgeapp",
        "namespace": "apps",
        "host": "edgeapp.example",
        "peers": (
            overflow.Peer("edge2", "198.18.0.12", 30443, IDENTITIES["edge2"]),
            overflow.Peer("cloud", "198.18.0.13", 30443, IDENTITIES["cloud"]),
        ),
        "origins": IDENTITIES,
    }
    return overflow.OverflowSite(**(values | changes))


def made(**changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
    numbers = overflow.Numbers(8.0, 3, 40, identities=IDENTITIES)
    return {(item["kind"], item["metadata"]["name"]): item for item in overflow.manifests(site(**changes), numbers)}


def patches(objects: dict[tuple[str, str], dict[str, Any]], name: str, kind: str) -> list[dict[str, Any]]:
    listed = objects["EnvoyFilter", name]["spec"]["configPatches"]
    return [patch for patch in listed if patch["applyTo"] == kind]


def route(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    (patch,) = patches(objects, "spillover-edgeapp-attempts", "HTTP_ROUTE")
    value: dict[str, Any] = patch["patch"]["value"]
    return value


def test_every_object_is_named_once() -> None:
    numbers = overflow.Numbers(8.0, 3, 40, identities=IDENTITIES)
    assert len(made()) == len(overflow.manifests(site(), numbers)) == 9


def mappers(port: int) -> list[dict[str, Any]]:
    """The connection manager's mappers of its own answers at a gateway's port."""
    found = [
        patch["patch"]["value"]["typed_config"].get("local_reply_config", {"mappers": []})["mappers"]
        for patch in patches(made(), "spillover-doors", "NETWORK_FILTER")
        if patch["match"]["listener"]["portNumber"] == port
    ]
    return [mapper for one in found for mapper in one]


def test_what_a_door_says_itself_of_a_place_with_nobody_bears_our_mark_and_a_client_is_told_when_to_come_again() -> (
    None
):
    headers = {}
    for port in (8080, 8443):
        (mapper,) = mappers(port)
        # Connection failure and no healthy host: nothing was begun. An answer that came from behind has no such flag.
        assert mapper["filter"] == {"response_flag_filter": {"flags": ["UH", "UF"]}}
        headers[port] = {it["header"]["key"]: it["header"]["value"] for it in mapper["headers_to_add"]}
    assert headers[8080] == {"x-spillover-refused": "down", "retry-after": "1"}
    assert headers[8443] == {"x-spillover-refused": "down"}


def test_the_numbered_objects_are_among_those_made() -> None:
    plurals = {"sidecars": "Sidecar", "serviceentries": "ServiceEntry", "envoyfilters": "EnvoyFilter"}
    objects = made()
    for ref in overflow.numbered_objects("edgeapp", "apps"):
        stored = objects[plurals[ref.plural], ref.name]
        assert (stored["apiVersion"], stored["metadata"]["namespace"]) == (ref.api_version, ref.namespace)


def test_a_kept_request_tries_home_then_each_peer_once_then_home_as_the_last_resort() -> None:
    order = route(made())["metadata"]["filter_metadata"][SPILL_FILTER]
    assert [group["name"] for group in order["kept"]] == ["home", "peers", "peers", "last"]
    assert [group["name"] for group in order["spilled"]] == ["peers", "peers", "last"]
    assert [group["name"] for group in order["large"]] == ["last"]


def test_there_are_as_many_attempts_as_places_to_try() -> None:
    objects = made()
    order = route(objects)["metadata"]["filter_metadata"][SPILL_FILTER]
    for entry in objects["VirtualService", "edgeapp"]["spec"]["http"]:
        assert 1 + entry["retries"]["attempts"] == len(order["kept"])


def test_a_peer_of_the_least_weight_is_drawn_before_the_draws_are_used_up() -> None:
    heaviest, lightest = 100, 1
    assert route(made())["route"]["retry_policy"]["host_selection_retry_max_attempts"] > 2 * heaviest / lightest


def test_the_groups_of_the_order_are_those_of_the_route() -> None:
    value = route(made())
    plugin = value["route"]["inline_cluster_specifier_plugin"]["extension"]["typed_config"]["value"]
    groups = {group["name"] for group in plugin["priority_groups"]}
    order = value["metadata"]["filter_metadata"][SPILL_FILTER]
    assert {group["name"] for key in ("kept", "spilled", "large") for group in order[key]} == groups


def test_only_idempotent_methods_are_tried_again_after_a_reset() -> None:
    idempotent, others = made()["VirtualService", "edgeapp"]["spec"]["http"]
    assert "POST" not in idempotent["match"][0]["method"]["regex"]
    assert "reset" in idempotent["retries"]["retryOn"].split(",")
    assert "reset" not in others["retries"]["retryOn"].split(",")


def test_no_status_of_an_application_is_a_reason_to_try_elsewhere() -> None:
    text = json.dumps(list(made().values()))
    for entry in made()["VirtualService", "edgeapp"]["spec"]["http"]:
        assert not {"5xx", "gateway-error", "retriable-status-codes", "retriable-4xx"} & set(
            entry["retries"]["retryOn"].split(",")
        )
    assert "retriable_status_codes" not in text


def test_our_headers_are_taken_off_before_anything_else() -> None:
    first, *_ = patches(made(), "spillover-doors", "HTTP_FILTER")
    assert first["patch"]["operation"] == "INSERT_FIRST"
    removed = first["patch"]["value"]["typed_config"]["mutations"]["request_mutations"]
    assert [mutation["remove"] for mutation in removed] == list(OWN_HEADERS)


def test_the_bucket_refuses_nothing_and_the_grants_refuse() -> None:
    objects = made()
    (bucket,) = patches(objects, "spillover-edgeapp-attempts", "VIRTUAL_HOST")
    (grants,) = patches(objects, "spillover-edgeapp-grants", "VIRTUAL_HOST")
    enforced = [
        config["filter_enforced"]["default_value"]["numerator"]
        for patch in (bucket, grants)
        for config in patch["patch"]["value"]["typed_per_filter_config"].values()
    ]
    assert enforced == [0, 100]


def test_each_origin_has_a_bucket_of_its_own_by_its_identity() -> None:
    (patch,) = patches(made(), "spillover-edgeapp-grants", "VIRTUAL_HOST")
    (config,) = patch["patch"]["value"]["typed_per_filter_config"].values()
    assert {item["entries"][0]["value"] for item in config["descriptors"]} == set(IDENTITIES.values())
    assert config["always_consume_default_token_bucket"] is False


def test_a_peer_must_prove_to_be_one_of_the_linked_gateways() -> None:
    policy = made()["DestinationRule", "spillover-edgeapp"]["spec"]["trafficPolicy"]
    assert policy["tls"] == {
        "mode": "ISTIO_MUTUAL",
        "sni": "edgeapp.peers.internal",
        "subjectAltNames": sorted(IDENTITIES.values()),
    }


@pytest.mark.parametrize("peers", [0, 1, 5])
def test_any_number_of_peers_fits(peers: int) -> None:
    some = tuple(
        overflow.Peer(f"p{number}", f"198.18.1.{number}", 30443, f"spiffe://p{number}/g") for number in range(peers)
    )
    objects = made(peers=some)
    order = route(objects)["metadata"]["filter_metadata"][SPILL_FILTER]
    assert len(order["spilled"]) == peers + 1
    assert len(objects["ServiceEntry", "spillover-edgeapp"]["spec"]["endpoints"]) == peers


def test_an_application_that_speaks_grpc_has_both_its_ports_named_so() -> None:
    objects = made(protocol="grpc")
    listeners = objects["Sidecar", "spillover-edgeapp"]["spec"]["ingress"]
    assert [(one["port"]["protocol"], one["port"]["name"]) for one in listeners] == [
        ("GRPC", "grpc-home"),
        ("GRPC", "grpc-last"),
    ]
    assert objects["Service", "edgeapp-last"]["spec"]["ports"][0]["name"] == "grpc"
