from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "plugins/lookup/content_key.py"
content_key = runpy.run_path(str(PLUGIN))["content_key"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "built").mkdir()
    (tmp_path / "built/a.py").write_text("a")
    (tmp_path / "built/b.py").write_text("b")
    return tmp_path / "built"


def test_same_content_elsewhere_has_the_same_key(folder: Path, tmp_path: Path) -> None:
    before = content_key([folder])
    (tmp_path / "other").mkdir()
    moved = folder.rename(tmp_path / "other/built")
    assert content_key([moved]) == before


@pytest.mark.parametrize("change", ["content", "name", "executable", "more", "less", "text"])
def test_every_change_that_matters_changes_the_key(folder: Path, change: str) -> None:
    before = content_key([folder], "v1")
    if change == "content":
        (folder / "a.py").write_text("A")
    elif change == "name":
        (folder / "a.py").rename(folder / "c.py")
    elif change == "executable":
        (folder / "a.py").chmod(0o755)
    elif change == "more":
        (folder / "c.py").write_text("")
    elif change == "less":
        (folder / "b.py").unlink()
    assert content_key([folder], "v2" if change == "text" else "v1") != before


def test_byte_code_does_not_matter(folder: Path) -> None:
    before = content_key([folder])
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__/a.cpython-311.pyc").write_text("x")
    assert content_key([folder]) == before


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content_key([tmp_path / "nothing"])
