from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_patch import apply_patch
from splits import exact_splits

from spillover.meshes import istio
from spillover.model import SpilloverError


def destination(
    host: str, subset: str | None = None, port: int | None = None, weight: int | None = None
) -> dict[str, Any]:
    inner: dict[str, Any] = {"host": host}
    if subset is not None:
        inner["subset"] = subset
    if port is not None:
        inner["port"] = {"number": port}
    return {"destination": inner} | ({} if weight is None else {"weight": weight})


def virtual_service(*routes: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "svc1", "namespace": "default", "resourceVersion": "42"},
        "spec": {"hosts": ["svc1"], "http": list(routes)},
    }


def figure_2(v2: int = 25, v1: int = 75) -> dict[str, Any]:
    return virtual_service({"route": [destination("svc1", "v2", weight=v2), destination("svc1", "v1", weight=v1)]})


def test_a_destination_is_named_by_host_and_subset() -> None:
    assert istio.destination_key(destination("svc1")) == "svc1"
    assert istio.destination_key(destination("svc1", "v2", port=80)) == "svc1/v2"
    assert istio.destination_key(destination("svc1", "v2", port=80), with_port=True) == "svc1/v2:80"


@pytest.mark.parametrize("entry", [{}, {"destination": {}}, {"destination": None}, {"destination": {"subset": "v1"}}])
def test_a_destination_without_host_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(SpilloverError, match="has no host"):
        istio.destination_key(entry)


def test_weights_are_read_in_the_routes_order() -> None:
    assert list(istio.read_weights(figure_2()).items()) == [("svc1/v2", 25), ("svc1/v1", 75)]


def test_the_port_appears_only_where_it_tells_destinations_apart() -> None:
    entries = [
        destination("a", port=80, weight=1),
        destination("a", port=81, weight=2),
        destination("b", port=80, weight=97),
    ]
    assert istio.read_weights(virtual_service({"route": entries})) == {"a:80": 1, "a:81": 2, "b": 97}


def test_equal_destinations_are_refused() -> None:
    same = [destination("a", weight=40), destination("a", weight=60)]
    with pytest.raises(SpilloverError, match="'a' more than once"):
        istio.read_weights(virtual_service({"route": same}))


def test_absent_weights_count_as_istio_counts_them() -> None:
    assert istio.read_weights(virtual_service({"route": [destination("a")]})) == {"a": 100}
    several = virtual_service({"route": [destination("a"), destination("b", weight=100)]})
    assert istio.read_weights(several) == {"a": 0, "b": 100}


def test_only_weights_change_and_the_argument_stays_as_it_was() -> None:
    before = figure_2()
    before["spec"]["http"][0]["timeout"] = "5s"
    original = copy.deepcopy(before)
    after, changed = istio.set_weights(before, {"svc1/v2": 60, "svc1/v1": 40})
    assert changed
    assert before == original
    expected = copy.deepcopy(original)
    expected["spec"]["http"][0]["route"][0]["weight"] = 60
    expected["spec"]["http"][0]["route"][1]["weight"] = 40
    assert after == expected


def test_equal_weights_are_no_change() -> None:
    after, changed = istio.set_weights(figure_2(), {"svc1/v1": 75, "svc1/v2": 25})
    assert not changed
    assert after == figure_2()
    assert istio.json_patch(figure_2(), {"svc1/v1": 75, "svc1/v2": 25}) == []


def test_an_absent_weight_that_is_wanted_as_0_is_no_change() -> None:
    service = virtual_service({"route": [destination("a", weight=100), destination("b")]})
    assert istio.json_patch(service, {"a": 100, "b": 0}) == []


def test_the_patch_tests_the_version_and_holds_only_what_differs() -> None:
    service = virtual_service(
        {"route": [destination("a", weight=50), destination("b", weight=20), destination("c", weight=30)]}
    )
    assert istio.json_patch(service, {"a": 40, "b": 20, "c": 40}) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "42"},
        {"op": "add", "path": "/spec/http/0/route/0/weight", "value": 40},
        {"op": "add", "path": "/spec/http/0/route/2/weight", "value": 40},
    ]


def test_destinations_that_are_not_named_keep_their_weight() -> None:
    service = virtual_service(
        {"route": [destination("a", weight=50), destination("b", weight=20), destination("c", weight=30)]}
    )
    after, _ = istio.set_weights(service, {"a": 60, "b": 10})
    assert istio.read_weights(after) == {"a": 60, "b": 10, "c": 30}


def test_a_kept_weight_counts_in_the_sum() -> None:
    with pytest.raises(SpilloverError, match=r"must sum to 100, got 175: svc1/v2=100, svc1/v1=75"):
        istio.set_weights(figure_2(), {"svc1/v2": 100})


def test_another_total_is_held_exactly() -> None:
    after, _ = istio.set_weights(figure_2(), {"svc1/v2": 3333, "svc1/v1": 6667}, total=10_000)
    assert istio.read_weights(after) == {"svc1/v2": 3333, "svc1/v1": 6667}
    with pytest.raises(SpilloverError, match="must sum to 10000, got 100"):
        istio.set_weights(figure_2(), {"svc1/v2": 25, "svc1/v1": 75}, total=10_000)


def test_an_unknown_destination_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        SpilloverError, match=r"unknown destination 'svc1/v3': .*default/svc1 routes to svc1/v2, svc1/v1"
    ):
        istio.set_weights(figure_2(), {"svc1/v3": 100})


@pytest.mark.parametrize("weight", [-1, 2.5, True, "25", None])
def test_a_weight_that_is_no_whole_number_is_refused(weight: Any) -> None:
    with pytest.raises(SpilloverError, match="'svc1/v2' must be a whole number"):
        istio.set_weights(figure_2(), {"svc1/v2": weight, "svc1/v1": 75})


def test_a_named_route_is_found_among_several() -> None:
    service = virtual_service(
        {"name": "redirected", "redirect": {"uri": "/"}},
        {"name": "guests", "route": [destination("a")]},
        {"name": "clients", "route": [destination("a", weight=100), destination("b", weight=0)]},
    )
    patch = istio.json_patch(service, {"a": 30, "b": 70}, "clients")
    assert [operation["path"] for operation in patch[1:]] == [
        "/spec/http/2/route/0/weight",
        "/spec/http/2/route/1/weight",
    ]
    with pytest.raises(SpilloverError, match=r"2 HTTP routes that fit \(guests, clients\)"):
        istio.read_weights(service)
    with pytest.raises(SpilloverError, match="no HTTP route named 'redirected'; it has guests, clients"):
        istio.read_weights(service, "redirected")


@pytest.mark.parametrize("spec", [None, {}, {"http": []}, {"http": [{"redirect": {}}]}, {"tcp": [{"route": []}]}])
def test_a_service_without_http_destinations_is_refused(spec: Any) -> None:
    service = virtual_service() | {"spec": spec}
    with pytest.raises(SpilloverError, match="default/svc1 has no HTTP route with destinations"):
        istio.read_weights(service)


def test_an_object_without_version_is_not_patched() -> None:
    service = figure_2()
    del service["metadata"]["resourceVersion"]
    with pytest.raises(SpilloverError, match=r"no metadata\.resourceVersion"):
        istio.json_patch(service, {"svc1/v2": 50, "svc1/v1": 50})


@st.composite
def two_splits(draw: st.DrawFn) -> tuple[list[int | None], list[int]]:
    size = draw(st.integers(2, 6))
    before = [weight or draw(st.sampled_from([0, None])) for weight in draw(exact_splits(size))]
    return before, draw(exact_splits(size))


@given(two_splits())
def test_the_patch_and_the_copy_agree_and_both_are_idempotent(splits: tuple[list[int | None], list[int]]) -> None:
    before, after = splits
    service = virtual_service({"route": [destination(f"host{i}", weight=weight) for i, weight in enumerate(before)]})
    wanted = {f"host{i}": weight for i, weight in enumerate(after)}
    result, changed = istio.set_weights(service, wanted)
    patch = istio.json_patch(service, wanted)
    assert changed == bool(patch)
    assert apply_patch(service, patch) == result
    assert istio.read_weights(result) == wanted
    assert istio.json_patch(result, wanted) == []


def test_a_rendered_service_names_hosts_subsets_and_ports() -> None:
    rendered = istio.render("svc1", "default", "svc1", {"svc1/v2": 25, "svc1.edge2:8080": 75})
    assert rendered == {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "svc1", "namespace": "default"},
        "spec": {
            "hosts": ["svc1"],
            "http": [
                {"route": [destination("svc1", "v2", weight=25), destination("svc1.edge2", port=8080, weight=75)]}
            ],
        },
    }


def test_a_rendered_service_may_split_the_ports_of_one_host() -> None:
    rendered = istio.render("svc1", "default", "svc1", {"svc1:80": 25, "svc1:81": 75})
    assert istio.read_weights(rendered) == {"svc1:80": 25, "svc1:81": 75}
