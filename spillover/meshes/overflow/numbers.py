"""The numbers in the objects of the fast clock: rates, limits and weights, read, compared and changed in place.

They are all that a controller changes, so that no connection is disturbed: the rates belong to virtual hosts, not to
listeners, and the weights to endpoints. A bucket whose rate changes starts full, so a change has to be worth it.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spillover.meshes.overflow.gateway import BUCKET_FILTER, GRANTS_FILTER
from spillover.meshes.overflow.site import LAST_LISTENER_PORT, Manifest
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WORTH_WRITING = 0.05
"""Smallest relative change of a rate or limit that is written: the rest is noise, and each change fills the bucket."""

LARGEST_RPS = 1e6
"""The rate of a bucket that keeps everything."""

_SHORTEST_FILL_S = 0.05
_LONGEST_FILL_S = 3600.0

OWNED_PATH = re.compile(
    r"/spec/(ingress/\d+/connectionPool/http/http2MaxRequests"
    r"|endpoints/\d+/weight"
    r"|configPatches/\d+/patch/value/typed_per_filter_config/"
    rf"({re.escape(BUCKET_FILTER)}|{re.escape(GRANTS_FILTER)}/descriptors/\d+)/token_bucket)"
)
"""Where the numbers stand; a controller changes nothing else."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one site's proxies enforce, each of them alone: the site's numbers divided by its replicas.

    Parameters
    ----------
    bucket_rps : float, optional
        Rate kept at home by one gateway; None keeps everything.
    inflight_limit : int
        Requests in flight at one replica of the application beyond which it refuses, at least 1.
    last_limit : int
        The same for requests that nobody else took; above `inflight_limit`.
    peer_weights : mapping of str to int
        By peer; only their ratio matters. A peer with 0 is drawn last and so keeps 1 beside the others' hundreds.
    grants_rps : mapping of str to float
        Rate of guests that one gateway takes from each origin.
    identities : mapping of str to str
        SPIFFE identity by origin, as in `spillover.meshes.overflow.OverflowSite.origins`.
    burst, grant_burst : int
        Tokens that a bucket holds.
    """

    bucket_rps: float | None
    inflight_limit: int
    last_limit: int
    peer_weights: Mapping[str, int] = field(default_factory=dict)
    grants_rps: Mapping[str, float] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)
    burst: int = 2
    grant_burst: int = 2

    def described(self) -> dict[str, float]:
        """Return the numbers under flat names, as `read` returns those of an object; no bucket is left out."""
        named = {"inflight_limit": float(self.inflight_limit), "last_limit": float(self.last_limit)}
        if self.bucket_rps is not None:
            named["bucket_rps"] = round(self.bucket_rps, 3)
        named |= {f"weight.{peer}": float(weight) for peer, weight in self.peer_weights.items()}
        return named | {f"grant_rps.{origin}": round(rate_rps, 3) for origin, rate_rps in self.grants_rps.items()}

    def __post_init__(self) -> None:
        if self.inflight_limit < 1:
            raise SpilloverError(f"inflight_limit must be at least 1, got {self.inflight_limit}")
        if self.last_limit <= self.inflight_limit:
            raise SpilloverError(
                f"last_limit must be above inflight_limit ({self.inflight_limit}), got {self.last_limit}"
            )


_ANY = Numbers(bucket_rps=None, inflight_limit=1, last_limit=2)
"""For asking where numbers stand, whatever they are."""


def token_bucket(rate_rps: float | None, burst: int) -> Manifest:
    """Return Envoy's token bucket for a rate: whole tokens, filled at most 20 times a second.

    Envoy fills continuously, so the interval only says the rate. The least rate is one token an hour.
    """
    rate = LARGEST_RPS if rate_rps is None else min(max(rate_rps, 1.0 / _LONGEST_FILL_S), LARGEST_RPS)
    tokens = max(1, math.ceil(rate * _SHORTEST_FILL_S - 1e-9))
    interval = f"{tokens / rate:.6f}".rstrip("0").rstrip(".")
    return {"max_tokens": max(burst, tokens), "tokens_per_fill": tokens, "fill_interval": f"{interval}s"}


def bucket_rate_rps(bucket: Mapping[str, Any]) -> float:
    """Return the rate of Envoy's token bucket."""
    return float(bucket["tokens_per_fill"]) / float(str(bucket["fill_interval"]).removesuffix("s"))


def with_numbers(manifest: Manifest, numbers: Numbers) -> Manifest:
    """Return a copy of one of the fast clock's objects with these numbers; others come back as they are."""
    result = copy.deepcopy(manifest)
    for path, value in _wanted(manifest, numbers):
        _put(result, path, value)
    return result


def keeping_numbers(manifest: Manifest, stored: Manifest) -> Manifest:
    """Return a copy of a manifest with the numbers of the object that is in force, where both have the same places.

    So a stand-up changes what it owns and leaves what a controller has set.
    """
    result = copy.deepcopy(manifest)
    places, theirs = dict(_wanted(manifest, _ANY)), dict(_wanted(stored, _ANY))
    if places.keys() != theirs.keys() or _names(manifest) != _names(stored):
        return result
    for path in places:
        _put(result, path, copy.deepcopy(_at(stored, path)))
    return result


def read(manifest: Manifest, identities: Mapping[str, str]) -> dict[str, float]:
    """Return an object's numbers under the names that `Numbers.described` gives them.

    Parameters
    ----------
    manifest
        One of the fast clock's objects.
    identities
        SPIFFE identity by origin; a grant of another identity stands under the identity.
    """
    return {_label(manifest, path, identities): _plain(_at(manifest, path)) for path, _ in _wanted(manifest, _ANY)}


def json_patch(manifest: Manifest, numbers: Numbers) -> list[dict[str, Any]]:
    """Return the JSON patch (RFC 6902) for the numbers that differ by enough; empty when none does.

    Its first operation tests the resourceVersion: list positions are only true for the object that was read.

    Raises
    ------
    SpilloverError
        If the object has no resourceVersion.
    """
    changes = [(path, value) for path, value in _wanted(manifest, numbers) if _differs(_at(manifest, path), value)]
    if not changes:
        return []
    version = (manifest.get("metadata") or {}).get("resourceVersion")
    if not version:
        raise SpilloverError(
            f"{manifest.get('kind')} {manifest['metadata'].get('name')} has no metadata.resourceVersion"
        )
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}] + [
        {"op": "add", "path": "/" + "/".join(str(step) for step in path), "value": value} for path, value in changes
    ]


def _wanted(manifest: Manifest, numbers: Numbers) -> Iterator[tuple[Path, Any]]:
    """Yield where each number stands in this object, and what it should be."""
    spec = manifest.get("spec") or {}
    match manifest.get("kind"):
        case "Sidecar":
            for index, listener in enumerate(spec.get("ingress") or []):
                last = listener["port"]["number"] == LAST_LISTENER_PORT
                limit = numbers.last_limit if last else numbers.inflight_limit
                yield ("spec", "ingress", index, "connectionPool", "http", "http2MaxRequests"), limit
        case "ServiceEntry":
            for index, endpoint in enumerate(spec.get("endpoints") or []):
                weight = numbers.peer_weights.get(endpoint["labels"]["site"], 0)
                yield ("spec", "endpoints", index, "weight"), max(1, weight)
        case "EnvoyFilter":
            for index, patch in enumerate(spec.get("configPatches") or []):
                configs = patch["patch"]["value"].get("typed_per_filter_config") or {}
                base: Path = ("spec", "configPatches", index, "patch", "value", "typed_per_filter_config")
                if BUCKET_FILTER in configs:
                    yield (*base, BUCKET_FILTER, "token_bucket"), token_bucket(numbers.bucket_rps, numbers.burst)
                if GRANTS_FILTER in configs:
                    origins = {identity: origin for origin, identity in numbers.identities.items()}
                    for place, descriptor in enumerate(configs[GRANTS_FILTER]["descriptors"]):
                        origin = origins.get(descriptor["entries"][0]["value"], "")
                        bucket = token_bucket(numbers.grants_rps.get(origin, 0.0), numbers.grant_burst)
                        yield (*base, GRANTS_FILTER, "descriptors", place, "token_bucket"), bucket


def _names(manifest: Manifest) -> list[Any]:
    """Return what the numbers of an object belong to, in their order: peers or origins."""
    spec = manifest.get("spec") or {}
    patches = [
        patch["patch"]["value"].get("typed_per_filter_config") or {} for patch in spec.get("configPatches") or []
    ]
    granted = [item["entries"] for config in patches for item in config.get(GRANTS_FILTER, {}).get("descriptors", [])]
    return [endpoint["labels"] for endpoint in spec.get("endpoints") or []] + granted


def _label(manifest: Manifest, path: Path, identities: Mapping[str, str]) -> str:
    """Return the flat name of the number at a path."""
    spec = manifest["spec"]
    match path:
        case (_, "ingress", int() as index, *_):
            last = spec["ingress"][index]["port"]["number"] == LAST_LISTENER_PORT
            return "last_limit" if last else "inflight_limit"
        case (_, "endpoints", int() as index, *_):
            return f"weight.{spec['endpoints'][index]['labels']['site']}"
        case (*base, "descriptors", int() as index, _):
            identity = _at(manifest, (*base, "descriptors", index))["entries"][0]["value"]
            origins = {own: origin for origin, own in identities.items()}
            return f"grant_rps.{origins.get(identity, identity)}"
    return "bucket_rps"


def _plain(value: Any) -> float:
    return round(bucket_rate_rps(value), 3) if isinstance(value, dict) else float(value)


def _put(manifest: Manifest, path: Path, value: Any) -> None:
    parent: Any = manifest
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value


def _at(manifest: Manifest, path: Path) -> Any:
    value: Any = manifest
    for step in path:
        value = value.get(step) if isinstance(value, dict) else value[step]
    return value


def _differs(before: Any, after: Any) -> bool:
    """Whether a number has changed by enough to be written."""
    if isinstance(after, dict):
        if not isinstance(before, dict) or before.get("max_tokens") != after["max_tokens"]:
            return True
        before, after = bucket_rate_rps(before), bucket_rate_rps(after)
    if not isinstance(before, int | float):
        return True
    return bool(abs(after - before) >= WORTH_WRITING * max(before, 1e-12)) and before != after
