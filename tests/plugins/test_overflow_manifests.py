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
