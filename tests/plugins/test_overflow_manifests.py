from __future__ import annotations

import copy
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
overflow_manifests = runpy.run_path(str(ROOT / "plugins/filter/overflow_manifests.py"))["overflow_manifests"]
INVENTORY = yaml.safe_load((ROOT / "inventory/lab/group_vars/all/sites.yml").read_text())
APPLICATION = {"host": "edgeapp.example", "namespace": "apps", "peer_port": 30443}


def made(site: str, **changes: Any) -> list[dict[str, Any]]:
    arguments = {
        "sites": INVENTORY["spillover_sites"],
        "links": INVENTORY["spillover_links"],
        "application": APPLICATION,
    }
    result: list[dict[str, Any]] = overflow_manifests(site, **(arguments | changes))
    return result


def test_the_objects_are_those_of_the_sites_own_application_and_peers() -> None:
    objects = {(item["kind"], item["metadata"]["name"]): item for item in made("cloud")}
    endpoints = objects["ServiceEntry", "spillover-cloudapp"]["spec"]["endpoints"]
    assert {endpoint["labels"]["site"]: endpoint["address"] for endpoint in endpoints} == {
        "edge1": "198.18.0.11",
        "edge2": "198.18.0.12",
    }
    assert ("VirtualService", "cloudapp") in objects


def test_numbers_in_force_are_kept() -> None:
    stored = copy.deepcopy(made("edge1"))
    (sidecar,) = (item for item in stored if item["kind"] == "Sidecar")
    sidecar["spec"]["ingress"][0]["connectionPool"]["http"]["http2MaxRequests"] = 77
    assert made("edge1", in_force=stored) == stored


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"application": {"host": "edgeapp.example", "peer_port": 30443}}, "'namespace' is missing"),
        ({"sites": {"edge1": {"capacity_rpm": 0}}, "links": []}, r"sites\.edge1\.capacity_rps must be above 0, got 0"),
    ],
)
def test_bad_settings_are_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AnsibleFilterError, match=sentence):
        made("edge1", **changes)


def test_classes_that_cannot_be_are_refused_in_a_sentence_and_others_are_counted() -> None:
    gold = {"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}}
    assert "class_00_gold" in str(made("edge1", application=APPLICATION | {"classes": [gold, {"name": "rest"}]}))
    with pytest.raises(AnsibleFilterError, match="every class but the last must have a match, got none for 'rest'"):
        made("edge1", application=APPLICATION | {"classes": [{"name": "rest"}, gold]})


class Lazy(list[Any]):
    """As Ansible hands out a list: what it stores is a promise, and only who iterates gets the values."""

    def __iter__(self) -> Iterator[Any]:
        return (promise() for promise in super().__iter__())


def test_classes_are_read_as_ansible_hands_them_out() -> None:
    classes = Lazy([lambda: {"name": "rest"}])
    assert "class_00_rest" in str(made("edge1", application=APPLICATION | {"classes": classes}))


def test_settings_of_an_application_are_told_to_the_proxies() -> None:
    changed = APPLICATION | {
        "connect_timeout_ms": 123,
        "peer_silence_ms": 456,
        "largest_body_bytes": 789,
        "retry_after_s": 9,
    }
    told = str(made("edge1", application=changed))
    for value in ("123ms", "0.456s", "789", "'9'"):
        assert value in told
        assert value not in str(made("edge1"))


@pytest.mark.parametrize("name", ["connect_timeout_ms", "peer_silence_ms", "retry_after_s"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_a_setting_that_is_no_time_is_refused_in_a_sentence(name: str, value: object) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"{name} must be a whole number from 1 on, got {value}"):
        made("edge1", application=APPLICATION | {name: value})
