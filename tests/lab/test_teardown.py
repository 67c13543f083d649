"""A second lab comes and goes (the molecule scenario); the machine, with the first lab on it, is as before."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from lab_helpers import DOCKER, ROOT, run
from machine import Machine

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def engine() -> dict[str, list[str]]:
    """Return what the standing lab's engine holds."""
    kinds = {"containers": ["ps", "--all"], "networks": ["network", "ls"], "volumes": ["volume", "ls"]}
    found = {}
    for kind, command in kinds.items():
        ended = run([*DOCKER, *command, "--format={{json .}}"])
        assert ended.returncode == 0, ended.stderr
        objects = [json.loads(line) for line in ended.stdout.splitlines()]
        found[kind] = sorted(one.get("ID") or one["Name"] for one in objects)
    return found


def molecule(command: str) -> None:
    """Run one step of the scenario."""
    ended = run(
        [ROOT / ".venv/bin/molecule", command], timeout_s=500, environment={"ANSIBLE_NOCOLOR": "1", "NO_COLOR": "1"}
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]


def test_a_lab_that_is_torn_down_leaves_the_machine_as_it_was() -> None:
    before, held = Machine.now(), engine()
    molecule("syntax")
    try:
        molecule("converge")
        during = before.differences(Machine.now())
        molecule("idempotence")
        molecule("verify")
    finally:
        molecule("destroy")
    assert before.differences(Machine.now()) == {}
    assert engine() == held
    # Had the look seen nothing while the second lab stood, it could not have seen what is left of it.
    assert {"links", "addresses", "routes", "mounts", "processes", "folders"} <= set(during)


def test_tearing_down_what_does_not_stand_changes_nothing() -> None:
    before = Machine.now()
    molecule("destroy")
    molecule("destroy")
    assert before.differences(Machine.now()) == {}


def test_the_look_sees_a_process_of_an_engine(tmp_path: Path) -> None:
    program = tmp_path / "containerd-shim-left-over"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    before = Machine.now()
    with subprocess.Popen([program, "60"]) as left:
        assert list(before.differences(Machine.now())) == ["processes"]
        left.kill()


def test_the_look_sees_a_setting_of_the_kernel() -> None:
    setting = Path("/proc/sys/net/ipv4/conf/default/log_martians")
    was = setting.read_text()
    before = Machine.now()
    try:
        setting.write_text("0" if was.strip() == "1" else "1")
        assert list(before.differences(Machine.now())) == ["sysctls"]
    finally:
        setting.write_text(was)
    assert before.differences(Machine.now()) == {}
