from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from groups_fakes import Recorder

from spillover.groups.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "prometheus: {url: 'http://prometheus', preset: envoy}\n"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def sources(tmp_path: Path, recorder: Recorder) -> Sources:
    return Sources(tmp_path, recorder.edges)


def test_each_file_is_a_source_by_its_name_also_after_it_changed(tmp_path: Path, sources: Sources) -> None:
    (tmp_path / "edge1").write_text(GOOD)
    (tmp_path / "..data").mkdir()
    sources.refresh()
    assert sources.known == {"edge1": {"prometheus": {"url": "http://prometheus", "preset": "envoy"}}}
    (tmp_path / "edge1").write_text("collector_url: http://collector\n")
    sources.refresh()
    assert sources.known == {"edge1": {"collector_url": "http://collector"}}
    (tmp_path / "edge1").unlink()
    sources.refresh()
    assert sources.known == {}


@pytest.mark.parametrize("text", ["{", "[]", "", "kafka: {}\n", GOOD + "collector_url: http://a\n"])
def test_a_file_that_is_no_source_is_logged_once(
    tmp_path: Path, sources: Sources, recorder: Recorder, text: str
) -> None:
    (tmp_path / "edge1").write_text(text)
    for _ in range(3):
        sources.refresh()
    assert sources.known == {}
    assert recorder.events == ["source_unusable"]


def test_a_daemon_without_a_directory_and_one_whose_directory_went_have_none(
    tmp_path: Path, recorder: Recorder
) -> None:
    for directory in (None, tmp_path / "absent"):
        none = Sources(directory, recorder.edges)
        none.refresh()
        assert none.known == {}
