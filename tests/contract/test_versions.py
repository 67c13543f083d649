"""A version that stands in more than one place is the same in all of them."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def _variables(path: str) -> dict[str, object]:
    return dict(yaml.safe_load((ROOT / path).read_text(encoding="utf-8")))


def _required(upstream: str, module: str) -> str:
    go_mod = (ROOT / "upstream" / upstream / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    assert found, f"upstream/{upstream}/go.mod does not require {module}"
    return found[1]


def test_kubernetes_has_the_version_of_its_module_everywhere() -> None:
    version = _required("kubernetes", "k8s.io/kubernetes")
    assert _variables("roles/binaries/vars/main.yml")["_binaries_kubernetes_version"] == version
    assert _variables("roles/images/vars/main.yml")["_images_kubernetes_tag"] == version
    assert _variables("roles/cluster/defaults/main.yml")["cluster_version"] == version


def test_kubernetes_staging_modules_are_replaced_by_the_published_ones_of_its_version() -> None:
    published = _required("kubernetes", "k8s.io/kubernetes").replace("v1.", "v0.", 1)
    text = (ROOT / "upstream/kubernetes/go.mod").read_text(encoding="utf-8")
    replaced = re.findall(r"^(?:replace )?\s*k8s\.io/\S+ => k8s\.io/\S+ (\S+)$", text, re.MULTILINE)
    assert len(replaced) > 20
    assert set(replaced) == {published}


def test_istio_reports_the_commit_that_its_module_is() -> None:
    commit = _required("istio", "istio.io/istio").rsplit("-", 1)[1]
    assert str(_variables("roles/binaries/vars/main.yml")["_binaries_istio_version"]).endswith(commit)


def test_what_only_tests_or_some_experiments_need_is_not_built_for_the_lab() -> None:
    upstreams = _variables("roles/binaries/vars/main.yml")["_binaries_upstreams"]
    assert isinstance(upstreams, list)
    needed_by = {upstream["name"]: upstream["needed_by"] for upstream in upstreams if "needed_by" in upstream}
    assert needed_by == {"metrics-server": "experiments", "prometheus": "tests", "gateway-api": "tests"}
    for_tests = [name for name, who in needed_by.items() if who == "tests"]
    asked_for = (ROOT / "Makefile").read_text(encoding="utf-8").partition("test-binaries: env")[2].partition("\n\n")[0]
    assert [name for name in for_tests if f'"{name}"' not in asked_for] == []
