"""One declaration, checked: what a role's argument specification says is what its defaults do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").glob("*") if any(file.is_file() for file in path.rglob("*")))

pytestmark = pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text()) or {} if path.is_file() else {}


def entry_points(role: Path) -> dict[str, Any]:
    return dict(read(role / "meta" / "argument_specs.yml").get("argument_specs", {}))


def options(role: Path) -> dict[str, Any]:
    """The options of all entry points; one that several share must mean the same everywhere."""
    merged: dict[str, Any] = {}
    for entry in entry_points(role).values():
        for name, option in (entry.get("options") or {}).items():
            assert merged.setdefault(name, option).get("default") == option.get("default"), name
    return merged


def test_the_role_is_specified(role: Path) -> None:
    assert "main" in entry_points(role)
    for name, entry in entry_points(role).items():
        assert entry.get("short_description"), name
        assert (role / "tasks" / f"{name}.yml").is_file(), name


def test_defaults_are_the_specified_defaults(role: Path) -> None:
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert read(role / "defaults" / "main.yml") == specified


def test_an_option_without_default_is_required(role: Path) -> None:
    for name, option in options(role).items():
        assert ("default" in option) != option.get("required", False), f"{name} must be required or have a default"


def test_every_option_has_a_type_and_a_description(role: Path) -> None:
    for name, option in options(role).items():
        assert option.get("type"), name
        assert option.get("description"), name


def test_variables_carry_the_roles_name(role: Path) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role.name}_")] == []
    private = [name for file in (role / "vars").glob("*.yml") for name in read(file)]
    assert [name for name in private if not name.startswith(f"_{role.name}_")] == []
