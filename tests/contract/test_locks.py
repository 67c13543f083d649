"""The locks: exact versions with hashes, no addresses, and everything that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted([*ROOT.glob("*.lock"), *ROOT.glob("requirements/*.lock")])
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;]+)", re.MULTILINE)


def entries(lock: Path) -> list[str]:
    """One string a requirement, with its continuation lines and without comments."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    return [entry for entry in re.split(r"\n(?=\S)", "\n".join(lines).strip()) if entry]


def pins() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for lock in LOCKS:
        for match in PINNED.finditer(lock.read_text()):
            found.setdefault(canonicalize_name(match["name"]), set()).add(match["version"])
    return found


def direct_requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    groups += list(project["dependency-groups"].values())
    return [Requirement(line) for group in groups for line in group]


def test_there_is_a_lock() -> None:
    assert LOCKS


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_entry_is_an_exact_version_with_hashes(lock: Path) -> None:
    found = entries(lock)
    assert found
    for entry in found:
        assert PINNED.match(entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_address_is_recorded(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^(--|-i |-f )|\s@\s", text, re.MULTILINE)


@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_a_direct_dependency_is_locked_at_a_version_it_allows(requirement: Requirement) -> None:
    versions = pins().get(canonicalize_name(requirement.name), set())
    assert versions, f"{requirement} is in no lock"
    assert [version for version in versions if not requirement.specifier.contains(version, prereleases=True)] == []
