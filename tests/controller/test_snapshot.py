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
