"""Packages are asked of apt only when dpkg does not have them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"
INSTALLED = "first:amd64 installed\nsecond installed\nthird:amd64 config-files\n"


@pytest.fixture
def packages(tmp_path):
    """Give a function that runs the role, in check mode, on a machine whose dpkg knows INSTALLED."""
    query = tmp_path / "dpkg-query"
    query.write_text(f"#!/bin/sh\ncat <<'END'\n{INSTALLED}END\n")
    query.chmod(0o755)
    ansible = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))

    def _run(*names, **variables):
        play = {"hosts": "localhost", "connection": "local", "tasks": [{"import_role": {"name": "packages"}}]}
        (tmp_path / "playbook.yml").write_text(json.dumps([play]))
        wanted = {"packages_names": names, "ansible_python_interpreter": SYSTEM_PYTHON} | variables
        options = ["-vvv", "--check", "--inventory=localhost,", f"--extra-vars={json.dumps(wanted)}"]
        return subprocess.run(
            [ansible, *options, tmp_path / "playbook.yml"],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ANSIBLE_ROLES_PATH": str(ROOT / "roles")},
        )  # fmt: skip

    return _run


def test_a_machine_that_lacks_nothing_is_not_asked_twice(packages):
    ended = packages("first", "second")
    assert ended.returncode == 0, ended.stdout
    assert "changed=0" in ended.stdout
    assert "skipped=1" in ended.stdout


needs_apt = pytest.mark.skipif(
    subprocess.run([SYSTEM_PYTHON, "-c", "import apt"], check=False, capture_output=True).returncode != 0,
    reason="the system's Python has no bindings of apt",
)


@needs_apt
@pytest.mark.parametrize("missing", ["spillover-has-no-such-package", "third"])
def test_only_what_is_missing_is_asked_of_apt(packages, missing):
    ended = packages("first", missing)
    assert ended.returncode != 0
    assert f"No package matching '{missing}' is available" in ended.stdout + ended.stderr


@needs_apt
@pytest.mark.parametrize(("start", "code"), [(True, "null"), (False, "101")])
def test_services_are_held_back_on_request(packages, start, code):
    ended = packages("third", packages_start_services=start)
    assert f'"policy_rc_d": {code}' in ended.stdout + ended.stderr
