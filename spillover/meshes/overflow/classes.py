"""What counts the requests of each class as they arrive at the clients' door.

A filter for access control in its shadow mode: it looks for the first policy that a request matches, counts one for it
and refuses nobody. It stands before everything that retries, so a request counts once; the counters of a virtual host's
virtual clusters count attempts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.classes import counter_names
from spillover.meshes.overflow import envoy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spillover.classes import ClassMatch, RequestClass
    from spillover.meshes.overflow.site import Manifest

CLASSES_FILTER = "spillover.classes"


def counters(classes: Sequence[RequestClass]) -> Manifest:
    """Return the filter; ``classes`` are one or more, the most important first."""
    *others, last = zip(counter_names(classes), classes, strict=True)
    # What matches no class belongs to the last one.
    wanted = [(name, _permission(one.match)) for name, one in others] + [(last[0], {"any": True})]
    return {
        "name": CLASSES_FILTER,
        "typed_config": {
            "@type": f"{envoy.HTTP}.rbac.v3.RBAC",
            "shadow_rules": {
                "action": "ALLOW",
                "policies": {
                    name: {"permissions": [permission], "principals": [{"any": True}]} for name, permission in wanted
                },
            },
            "track_per_rule_stats": True,
        },
    }


def _permission(match: ClassMatch | None) -> Manifest:
    if match is not None and match.header is not None:
        return {"header": {"name": match.header.name, "string_match": _value(match.header.exact, match.header.prefix)}}
    if match is not None and match.path is not None:
        return {"url_path": {"path": {"prefix": match.path.prefix}}}
    return {"any": True}


def _value(exact: str | None, prefix: str | None) -> Manifest:
    return {"prefix": prefix} if exact is None else {"exact": exact}
