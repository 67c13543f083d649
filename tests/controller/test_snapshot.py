from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from controller_fakes import SITES, raw_config

from spillover.controller.config import parse_config
from spillover.controller.snapshot import SiteView, build_snapshot
from spillover.sources.demand import Demand

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("age_s", "missing"), [(1.0, False), (44.0, False), (46.0, True)])
def test_sample_of_a_slow_source_is_missing_after_three_of_its_own_intervals(
    tmp_path: Path, age_s: float, missing: bool
) -> None:
    raw = raw_config(tmp_path)
    del raw["sites"]["edge1"]["collector_url"]
    raw["sites"]["edge1"]["prometheus"] = {"url": "http://prometheus", "preset": "envoy", "interval_s": 15}
    views = {name: SiteView(Demand(5.0, 5.0, age_s)) for name in SITES}
    snapshot = build_snapshot(parse_config(raw), views, running_s=0.0)
    assert snapshot.is_missing("edge1") == missing
    assert snapshot.is_missing("edge2") == (age_s > 3.0)


def test_demand_is_told_by_class_also_of_a_site_that_tells_none_apart(tmp_path: Path) -> None:
    gold = {"name": "gold", "match": {"header": {"name": "x-tier", "exact": "gold"}}}
    config = parse_config(raw_config(tmp_path, classes=[gold, {"name": "rest"}]))
    views = {name: SiteView(Demand(8.0, 8.0, 1.0)) for name in SITES}
    views["edge1"] = SiteView(Demand(8.0, 8.0, 1.0, shares={"gold": 0.25, "rest": 0.75}))
    views["edge2"] = SiteView(Demand(None, 4.0, 1.0, "silent", {"gold": 0.5, "rest": 0.5}))
    sites = build_snapshot(config, views, running_s=0.0).sites
    assert {name: site.demand_rps for name, site in sites.items()} == {
        "edge1": {"gold": 2.0, "rest": 6.0},
        "edge2": {"gold": 2.0, "rest": 2.0},
        "cloud": {"gold": 0.0, "rest": 8.0},
    }
