import pytest

from analysis.writing import write_all
from spillover.model import SpilloverError


def test_all_files_are_written(tmp_path):
    write_all({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1", "b": b"2"}


def test_a_failure_changes_nothing_and_leaves_nothing(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(SpilloverError, match="cannot write"):
        write_all({tmp_path / "a": b"new", tmp_path / "absent" / "b": b"2"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}
