"""The fence at the sites: nothing that was read before a later leader came can still be written.

Each write of the controller tests the resourceVersion of the object that it was made from. So it is enough that a new
leader changes each object once before it trusts it: it raises the epoch that stands there to its own, and every patch
that an earlier leader has made, and may still have under way, is made from an object that is no more. An earlier leader
that reads again finds an epoch above its own, and stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from spillover.clusters import DEFAULT_API_VERSION
from spillover.controller.reconcile import ClusterApi
from spillover.meshes.objects import ObjectRef, read_epoch
from spillover.model import SpilloverError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spillover.controller.leadership import Leadership


class NotLeading(SpilloverError):  # noqa: N818  read as `except NotLeading`
    """Another controller leads, or may lead by now: nothing was written."""


class FencedApi(ClusterApi, Protocol):
    """What is needed of `spillover.clusters.Cluster`."""

    def raise_epoch(self, ref: ObjectRef, version: str, epoch: int) -> dict[str, Any]:
        """Set the epoch of an object of this version and return the new object."""
        ...


class FencedCluster:
    """A site's API server as a leader sees it: what it reads is claimed, and it writes only while it leads.

    Parameters
    ----------
    cluster
        The API server itself.
    leadership
        Says in which epoch this controller leads.
    clock
        Monotonic seconds.
    """

    def __init__(self, cluster: FencedApi, leadership: Leadership, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._leadership = leadership
        self._clock = clock

    def get_virtual_service(self, namespace: str, name: str, api_version: str = DEFAULT_API_VERSION) -> dict[str, Any]:
        """Return the object, which from now on carries this leader's epoch."""
        found = self._cluster.get_virtual_service(namespace, name, api_version)
        return self._claimed(ObjectRef(api_version, "virtualservices", namespace, name), found)

    def get_object(self, ref: ObjectRef) -> dict[str, Any]:
        """Return the object, which from now on carries this leader's epoch."""
        return self._claimed(ref, self._cluster.get_object(ref))

    def patch_virtual_service_weights(
        self,
        namespace: str,
        name: str,
        patch: Sequence[dict[str, Any]],
        dry_run: bool = False,
        *,
        api_version: str = DEFAULT_API_VERSION,
    ) -> dict[str, Any]:
        """Apply the patch, if this controller leads."""
        self._epoch()
        return self._cluster.patch_virtual_service_weights(namespace, name, patch, dry_run, api_version=api_version)

    def patch_numbers(self, ref: ObjectRef, patch: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Apply the patch, if this controller leads."""
        self._epoch()
        return self._cluster.patch_numbers(ref, patch)

    def _claimed(self, ref: ObjectRef, found: dict[str, Any]) -> dict[str, Any]:
        epoch, theirs = self._epoch(), read_epoch(found)
        if theirs > epoch:
            self._leadership.superseded(theirs)
            raise NotLeading(f"{ref} belongs to epoch {theirs}, and this controller leads in epoch {epoch}")
        if theirs == epoch:
            return found
        return self._cluster.raise_epoch(ref, found["metadata"]["resourceVersion"], epoch)

    def _epoch(self) -> int:
        epoch = self._leadership.leading_epoch(self._clock())
        if not epoch:
            raise NotLeading("this controller does not lead any more")
        return epoch
