"""The numbers in the objects of the fast clock: rates, limits and weights, read, compared and changed in place.

They are all that a controller changes, so that no connection is disturbed: the rates belong to virtual hosts, not to
listeners, and the weights to endpoints. A bucket whose rate changes starts full, so a change has to be worth it.
"""

from __future__ import annotations

import copy
import math
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

    def __post_init__(self) -> None:
        if self.inflight_limit < 1:
            raise SpilloverError(f"inflight_limit must be at least 1, got {self.inflight_limit}")
        if self.last_limit <= self.inflight_limit:
            raise SpilloverError(
                f"last_limit must be above inflight_limit ({self.inflight_limit}), got {self.last_limit}"
            )


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
        parent: Any = result
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = value
    return result


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
