from __future__ import annotations

import re
from typing import Any

import pytest

from spillover.meshes.overflow import proxy_of
from spillover.model import SpilloverError


def info(version: Any = "5d0a/1.40.0/Clean/RELEASE/BoringSSL", istio: str | None = "1.31.2") -> dict[str, Any]:
    return {"version": version, "node": {"metadata": {"ISTIO_VERSION": istio} if istio else {}}}


def test_a_new_enough_envoy_can_be_in_overflow_mode() -> None:
    assert proxy_of(info()).unsupported == ""
    assert proxy_of(info("x/2.0.1/Clean/RELEASE/BoringSSL")).unsupported == ""


def test_an_older_envoy_cannot_and_its_version_is_named() -> None:
    assert proxy_of(info("x/1.39.4-dev/Modified/RELEASE/BoringSSL")).unsupported == (
        "the gateway's proxy is Envoy 1.39.4-dev, and overflow mode needs 1.40 or newer"
    )


def test_the_filters_are_for_patches_of_the_same_istio_and_no_other() -> None:
    pattern = proxy_of(info(istio="1.31-dev")).version_pattern
    assert all(re.search(pattern, version) for version in ("1.31.0", "1.31.14", "1.31-dev", "1.31"))
    assert not any(re.search(pattern, version) for version in ("1.310.0", "1.32.0", "11.31.0", "2.31"))


def test_without_a_version_of_istio_the_filters_are_for_every_proxy() -> None:
    assert proxy_of(info(istio=None)).version_pattern == ""


@pytest.mark.parametrize("version", [None, "", "unknown", 140, "a/b/c"])
def test_an_answer_without_a_version_of_envoy_is_named(version: Any) -> None:
    with pytest.raises(SpilloverError, match=r"^version of server_info must hold Envoy's version, got "):
        proxy_of(info(version))
