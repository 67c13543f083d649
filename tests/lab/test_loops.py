"""With every site spilling to every other, each request crosses one link and is served where it arrives."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from lab_helpers import SITES, at_door, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.lab

REQUESTS = 60


def arrived(site: str) -> dict[str, int]:
    """Return how many requests came to each door of a site's gateway since it started."""
    return {str(port): at_door(site, port, "downstream_rq_total") for port in (8080, 8443)}


def test_no_request_is_spilled_twice(
    set_weights: Callable[[str, dict[str, int]], None], served_by: Callable[[str], str]
) -> None:
    for site in SITES:
        peers = [peer for peer in SITES if peer != site]
        set_weights(site, {peers[0]: 50, peers[1]: 50})
    for site in SITES:
        wait_for(lambda site=site: all(served_by(site) != site for _ in range(10)))

    before = {site: arrived(site) for site in SITES}
    served = Counter((origin, served_by(origin)) for origin in SITES for _ in range(REQUESTS))
    after = {site: arrived(site) for site in SITES}

    came = {site: {port: after[site][port] - before[site][port] for port in after[site]} for site in SITES}
    assert {site: came[site]["8080"] for site in SITES} == dict.fromkeys(SITES, REQUESTS)
    # One that was spilled twice would have come to two peers' doors; one that was sent home again to its origin's.
    for site in SITES:
        guests = sum(count for (origin, server), count in served.items() if server == site)
        assert served[site, site] == 0
        assert came[site]["8443"] == guests
    assert sum(served.values()) == len(SITES) * REQUESTS
