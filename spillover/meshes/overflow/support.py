"""Whether a gateway's proxy can do what overflow mode asks of it, by what the proxy says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Mapping

OLDEST_ENVOY = (1, 40)
"""The first with `override_metadata_namespace` in the cluster specifier `priority_group`."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """What a proxy is.

    Parameters
    ----------
    envoy : str
        Version of Envoy, such as "1.40.0".
    istio : str
        Version of Istio's proxy, which istiod matches filters against; empty when the proxy does not say.
    """

    envoy: str
    istio: str

    @property
    def unsupported(self) -> str:
        """Why it cannot be in overflow mode, in words; empty when it can."""
        if _numbers(self.envoy) >= OLDEST_ENVOY:
            return ""
        oldest = ".".join(str(number) for number in OLDEST_ENVOY)
        return f"the gateway's proxy is Envoy {self.envoy}, and overflow mode needs {oldest} or newer"

    @property
    def version_pattern(self) -> str:
        """Regular expression of the Istio versions that differ from this one by a patch at most; empty when unknown."""
        series = re.match(r"\d+\.\d+", self.istio)
        return rf"^{re.escape(series.group())}([^\d].*)?$" if series else ""


def proxy_of(server_info: Mapping[str, Any]) -> Proxy:
    """Return what the answer of Envoy's ``/server_info`` says; SpilloverError when it says no version of Envoy."""
    version = server_info.get("version")
    parts = version.split("/") if isinstance(version, str) else []
    envoy = next((part for part in parts if re.match(r"\d+\.\d+\.\d+", part)), None)
    if envoy is None:
        raise SpilloverError(f"version of server_info must hold Envoy's version, got {version!r}")
    metadata = (server_info.get("node") or {}).get("metadata") or {}
    return Proxy(envoy, str(metadata.get("ISTIO_VERSION") or ""))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])
