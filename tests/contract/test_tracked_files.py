"""What the repository may not hold, whoever writes it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Registries and mirrors: the machine's own configuration says where packages come from. The dots are escaped, so that
# this file does not spell a host itself.
REGISTRIES = re.compile(
    r"\b("
    r"registry\.k8s\.io|k8s\.gcr\.io|gcr\.io|ghcr\.io|quay\.io|public\.ecr\.aws|mcr\.microsoft\.com|registry-1\.docker\.io"
    r"|docker\.io/|hub\.docker\.com|download\.docker\.com"
    r"|pypi\.org|files\.pythonhosted\.org|proxy\.golang\.org|sum\.golang\.org|registry\.npmjs\.org|crates\.io"
    r"|(deb|security|ftp|httpredir)\.debian\.org|galaxy\.ansible\.com|dl\.k8s\.io|storage\.googleapis\.com"
    r")",
    re.IGNORECASE,
)
MACHINE_PATHS = re.compile(r"(?<![\w.}~-])/(work|root|home/\w+|Users/\w+)(?=/|\b(?![-.\w]))")
LOCAL_REGISTRY = re.compile(r"\b(index-url|index_url|GOPROXY\s*[:=]\s*\S|registry-mirrors|trusted-host)", re.IGNORECASE)


def tracked() -> list[Path]:
    """What is tracked, or would be by the next `git add`."""
    listed = subprocess.run(
        ["/usr/bin/git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def findings(pattern: re.Pattern[str], *, but: frozenset[str] = frozenset()) -> list[str]:
    found = []
    for path in tracked():
        name = str(path.relative_to(ROOT))
        data = path.read_bytes()
        if name in but or b"\0" in data[:8000]:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
            if match := pattern.search(line):
                found.append(f"{name}:{number}: {match[0]}")
    return found


def test_no_registry_is_named() -> None:
    assert findings(REGISTRIES) == []


def test_no_registry_is_configured() -> None:
    this = str(Path(__file__).relative_to(ROOT))
    assert findings(LOCAL_REGISTRY, but=frozenset({this})) == []


def test_no_path_of_one_machine_is_named() -> None:
    assert findings(MACHINE_PATHS) == []


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (REGISTRIES, "image: quay" + ".io/x/y", True),
        (REGISTRIES, "image: docker" + ".io/library/x", True),
        (REGISTRIES, "apt: docker" + ".io", False),
        (MACHINE_PATHS, "cd /ro" + "ot/x", True),
        (MACHINE_PATHS, 'dest: "/wo' + 'rk/main"', True),
        (MACHINE_PATHS, "mount --make-rshared /", False),
        (MACHINE_PATHS, "cn=x/root.crt certs/root/ca ~/work/x /rootfs /workload", False),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str, found: bool) -> None:
    assert bool(pattern.search(text)) == found


def test_results_are_ignored_and_not_tracked() -> None:
    assert [path for path in tracked() if path.is_relative_to(ROOT / "results")] == []
    ignored = subprocess.run(
        ["/usr/bin/git", "check-ignore", "-q", "results/heavy-load/run/run.json"], cwd=ROOT, check=False
    )
    assert ignored.returncode == 0
