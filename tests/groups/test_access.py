from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from fixtures.apiserver import write_kubeconfig
from groups_fakes import Recorder

from spillover.clusters import Cluster
from spillover.groups.access import Accesses

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "canary-77ab"  # noqa: S105  a value to look for


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def accesses(tmp_path: Path, recorder: Recorder) -> Accesses:
    return Accesses(
        tmp_path, Cluster.from_kubeconfig, lambda cluster: cast("Any", ("guarded", cluster)), recorder.edges
    )


def test_each_usable_file_is_an_api_server_by_its_name(tmp_path: Path, accesses: Accesses) -> None:
    path = write_kubeconfig(tmp_path / "edge1", server="https://10.0.0.1", token=SECRET)
    (tmp_path / "..data").mkdir()
    (tmp_path / ".hidden").write_text("x")
    accesses.refresh()
    assert (accesses.files, accesses.servers) == ({"edge1": path}, {"edge1": "https://10.0.0.1"})
    assert accesses.api(path) is accesses.api(path)


def test_a_file_that_comes_later_is_found(tmp_path: Path, accesses: Accesses) -> None:
    accesses.refresh()
    assert accesses.files == {}
    write_kubeconfig(tmp_path / "edge1", server="https://10.0.0.1", token=SECRET)
    accesses.refresh()
    assert list(accesses.files) == ["edge1"]


def test_an_unusable_file_is_logged_once_and_not_quoted(tmp_path: Path, accesses: Accesses, recorder: Recorder) -> None:
    (tmp_path / "edge1").write_text(f"[{SECRET}]")
    for _ in range(3):
        accesses.refresh()
    assert accesses.files == {}
    assert recorder.events == ["kubeconfig_unusable"]
    assert SECRET not in str(recorder.lines)


def test_a_file_that_was_put_right_is_used(tmp_path: Path, accesses: Accesses) -> None:
    (tmp_path / "edge1").write_text("nonsense")
    accesses.refresh()
    write_kubeconfig(tmp_path / "edge1", server="https://10.0.0.1", token=SECRET)
    accesses.refresh()
    assert list(accesses.files) == ["edge1"]


def test_a_file_that_vanishes_is_absent_and_what_was_opened_stays(tmp_path: Path, accesses: Accesses) -> None:
    path = write_kubeconfig(tmp_path / "edge1", server="https://10.0.0.1", token=SECRET)
    accesses.refresh()
    path.unlink()
    accesses.refresh()
    assert accesses.files == {}
    assert accesses.api(path) is not None


def test_a_directory_that_vanishes_is_an_empty_one(tmp_path: Path, accesses: Accesses) -> None:
    tmp_path.rmdir()
    accesses.refresh()
    assert (accesses.files, accesses.servers) == ({}, {})
    tmp_path.mkdir()
