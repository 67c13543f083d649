"""Which programs are built when nobody names any, and when somebody does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAB = {"etcd", "kubernetes", "coredns", "istio", "kube-network-policies"}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], LAB),
        (["prometheus"], {"prometheus"}),
        (["gateway-api"], {"gateway-api"}),
        (["metrics-server"], {"metrics-server"}),
        (["etcd", "kubectl", "prometheus"], {"etcd", "kubernetes", "prometheus"}),
    ],
)
def test_what_the_lab_does_not_need_is_built_where_it_is_named(
    tmp_path: Path, names: list[str], wanted: set[str]
) -> None:
    ansible = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert ansible is not None
    play = {"hosts": "localhost", "connection": "local", "tasks": [{"include_role": {"name": "binaries"}}]}
    (tmp_path / "playbook.yml").write_text(json.dumps([play]))
    variables = {"binaries_cache_dir": str(tmp_path), "binaries_names": names} | {
        "ansible_python_interpreter": sys.executable
    }
    options = ["--check", "--inventory=localhost,", f"--extra-vars={json.dumps(variables)}"]
    ended = subprocess.run(
        [ansible, *options, tmp_path / "playbook.yml"],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"ANSIBLE_ROLES_PATH": str(ROOT / "roles"), "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    named = ended.stdout.partition("Name each upstream's programs")[2].partition("\nTASK ")[0]
    assert set(re.findall(r"ok: \[localhost\] => \(item=([\w-]+)\)", named)) == wanted, ended.stdout
