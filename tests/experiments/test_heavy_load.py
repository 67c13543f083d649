"""The experiments' files: what they ask, and that they fit their time."""

from pathlib import Path

import pytest

from loadtest.plan import LoadPlan
from spillover.experiment import calibration_s, expand, load_experiment
from spillover.experiment_load import cell_load

FOLDER = Path(__file__).parents[2] / "experiments"
FILES = sorted(FOLDER.glob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_valid_named_like_itself_and_sends_a_load_that_fits(path):
    read = load_experiment(path)
    assert read.name == path.stem
    urls = dict.fromkeys(read.sites, "http://198.19.0.11:30080")
    for cell in expand(read):
        LoadPlan.from_dict(cell_load(read, cell, dict.fromkeys(read.sites, 20.0), urls))


def test_heavy_load_has_the_cells_of_the_paper():
    read = load_experiment(FOLDER / "heavy-load.yml")
    cells = {
        cell.variant: (
            cell.policy,
            cell.settings["window_s"],
            cell.settings["period_s"],
            cell.settings["rpm_max_factor"],
            cell.settings["duration_s"],
            cell.baseline,
        )
        for cell in expand(read)
    }
    assert cells["paper-1s"] == ("paper", 1, 1, 0.8, 60, "local-60s")
    assert cells["paper-1s-rpm100"] == ("paper", 1, 1, 1.0, 60, "local-60s")
    assert cells["paper-60s"] == ("paper", 60, 60, 0.8, 240, "local-240s")
    assert cells["local-60s"][0] == cells["local-240s"][0] == "local"
    assert [(stream.origin, stream.factor) for stream in read.load.streams] == [("edge1", 2.0)]
    assert read.load.timeout_s == 120


def test_the_short_profile_ends_within_five_minutes_and_keeps_both_limits():
    read = load_experiment(FOLDER / "heavy-load-short.yml")
    cells = expand(read)
    assert calibration_s(read) + sum(cell.estimated_s for cell in cells) < 300
    assert {(cell.policy, cell.settings["rpm_max_factor"]) for cell in cells} >= {("paper", 0.8), ("paper", 1.0)}
    assert read.profile == "short"


def test_both_profiles_ask_with_the_same_sites_links_and_load():
    full, short = (load_experiment(FOLDER / f"{name}.yml") for name in ("heavy-load", "heavy-load-short"))
    assert (full.sites, full.links) == (short.sites, short.links)
    assert full.load.streams == short.load.streams
