"""What preflight says of a machine that cannot carry the lab."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
PLAYBOOK = [{"hosts": "localhost", "connection": "local", "tasks": [{"include_role": {"name": "preflight"}}]}]
# Asked for on a machine that carries the lab already, these would hide what the test is about.
ENOUGH: dict[str, object] = {
    "preflight_min_memory_mib": 1,
    "preflight_min_disk_gib": 0,
    "preflight_address_range": "203.0.113.0/24",
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder in front of PATH: what is written there hides the machine's own program."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def program(folder: Path, name: str, prints: str, *, status: int = 0) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\nexit {status}\n")
    path.chmod(0o755)


def preflight(tmp_path: Path, programs: Path, variables: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
    """Run the role on this machine as on one whose uid is 0, with other values for what it looks at."""
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(json.dumps(PLAYBOOK))
    if not (programs / "id").exists():
        program(programs, "id", "0")
    wanted = (
        ENOUGH
        | {"preflight_state_dir": str(tmp_path / "no-lab"), "ansible_python_interpreter": sys.executable}
        | variables
    )
    ansible = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert ansible is not None
    return subprocess.run(
        [ansible, "--inventory=localhost,", str(playbook), f"--extra-vars={json.dumps(wanted)}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "ANSIBLE_FORCE_COLOR": "0",
        },
    )  # fmt: skip


def complaints(ended: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(
        r"^\[ERROR\]: (?:Task failed: )?(?:Action failed: )?(.*)", ended.stdout + ended.stderr, re.MULTILINE
    )


def test_a_machine_that_can_carry_the_lab_passes(tmp_path: Path, programs: Path) -> None:
    ended = preflight(tmp_path, programs, {})
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        # Numbers are texts here, as -e NAME=VALUE gives them.
        (
            "preflight_min_memory_mib",
            "99999999",
            r"The lab needs 99999999 MiB of memory \(preflight_min_memory_mib\), this machine has \d+ MiB\.",
        ),
        (
            "preflight_min_disk_gib",
            "99999",
            r"The lab needs 99999 GiB of free disk space \(preflight_min_disk_gib\), /var/lib has \d+ GiB\.",
        ),
        (
            "preflight_architecture",
            "riscv64",
            r"The lab's images are built for riscv64 \(preflight_architecture\), this machine is \S+\.",
        ),
        (
            "preflight_address_range",
            "127.0.0.0/8",
            r"The address range 127\.0\.0\.0/8 \(preflight_address_range\) is taken on this machine: 127\.\S+.*\.",
        ),
    ],
)
def test_what_is_missing_is_one_sentence_that_names_the_variable(
    tmp_path: Path, programs: Path, variable: str, value: str, sentence: str
) -> None:
    ended = preflight(tmp_path, programs, {variable: value})
    assert ended.returncode != 0
    said = complaints(ended)
    assert len(said) == 1, said
    assert re.fullmatch(sentence, said[0])


def test_a_user_who_is_not_root_is_told_so_before_anything_is_looked_at(tmp_path: Path, programs: Path) -> None:
    program(programs, "id", "1000")
    ended = preflight(tmp_path, programs, {"preflight_min_memory_mib": 99999999})
    assert ended.returncode != 0
    assert complaints(ended) == ["The lab makes network namespaces and mounts: run as root (now uid 1000)."]


def test_a_failing_ip_is_one_sentence_that_names_its_package(tmp_path: Path, programs: Path) -> None:
    program(programs, "ip", "", status=1)
    ended = preflight(tmp_path, programs, {})
    assert ended.returncode != 0
    assert complaints(ended) == ["The program ip is missing or failed: install the Debian package iproute2."]
