"""The metrics of several controllers as one exposition: each series carries the name of its group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class GroupsCollector:
    """Collects from a registry for each group.

    Parameters
    ----------
    registries
        Returns the registries by name of the group; the process's own has an empty name.
    """

    def __init__(self, registries: Callable[[], Mapping[str, CollectorRegistry]]) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        """Yield each family once, as the format demands, with the series of all groups."""
        families: dict[str, Metric] = {}
        for group, registry in sorted(self._registries().items()):
            for family in registry.collect():
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                merged.samples += [
                    sample._replace(labels={**sample.labels, "group": group}) for sample in family.samples
                ]
        yield from families.values()


def groups_registry(registries: Callable[[], Mapping[str, CollectorRegistry]]) -> CollectorRegistry:
    """Return one registry for all groups."""
    registry = CollectorRegistry()
    registry.register(GroupsCollector(registries))
    return registry
