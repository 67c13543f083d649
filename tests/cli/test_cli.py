from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from spillover.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


def spillover(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spillover", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "spillover", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """One pure peer whose collector refuses connections: enough for a loop that ticks."""
    path = tmp_path / "controller.yml"
    sites: dict[str, Any] = {"cloud": {"capacity_rpm": 600, "collector_url": "http://127.0.0.1:9"}}
    path.write_text(yaml.safe_dump({"policy": "paper", "window_s": 0.2, "period_s": 0.2, "sites": sites}))
    return path


def test_help_lists_every_command_without_importing_any() -> None:
    code = (
        "import sys; from spillover.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'kubernetes', 'scipy', 'numba', 'httpx', 'pydantic', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for name in ("controller", "collector", "decide", "experiment"):
        assert f"  {name}" in ended.stdout


def test_daemon_imports_neither_scipy_nor_numba_nor_pandas() -> None:
    code = (
        "import sys, spillover.cli.controller, spillover.cli.collector, spillover.policies.paper\n"
        "heavy = {'scipy', 'numba', 'pandas', 'matplotlib', 'locust'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("arguments", [["controller", "--help"], ["collector", "--help"], ["-h"]])
def test_help_exits_with_0(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    assert "Usage: spillover" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["controller", "--config", "/nowhere.yml"], "error: /nowhere.yml cannot be read: No such file"),
        (["collector", "--site", "", "--gateways", "x"], "error: site must not be empty, got ''"),
        (["collector", "--site", "a", "--gateways", "x", "--listen", "y"], "error: listen must be host:port, got 'y'"),
        (["nonsense"], "No such command 'nonsense'"),
        (["controller"], "error: --config must be given, or --groups with --kubeconfigs, got neither"),
        (["controller", "--groups"], "error: --groups needs --kubeconfigs, and no --config"),
        (
            ["controller", "--groups", "--kubeconfigs", "/nowhere"],
            "error: kubeconfigs must be a directory, got '/nowhere'",
        ),
        (
            ["controller", "--groups", "--kubeconfigs", "/tmp", "--lease", "a", "--renew-deadline-s", "9"],  # noqa: S108
            "error: lease: renew_deadline_s must be below lease_duration_s (6), got 9",
        ),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_wrong_setting_in_the_file_is_named_and_no_traceback_shown(config: Path) -> None:
    config.write_text(config.read_text().replace("600", "-5"))
    ended = spillover("controller", "--config", str(config))
    assert ended.returncode == 2
    assert ended.stderr == f"error: {config}: sites.cloud.capacity_rpm must be above 0, got -5\n"
    assert ended.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_controller_cleanly_after_whole_lines(config: Path, number: signal.Signals) -> None:
    with process("controller", "--config", str(config), "--listen", "127.0.0.1:0") as started:
        assert started.stdout is not None
        lines = [started.stdout.readline() for _ in range(3)]
        started.send_signal(number)
        rest, errors = started.communicate(timeout=20)
        assert (started.returncode, errors) == (0, "")
    events = [json.loads(line) for line in [*lines, *rest.splitlines()]]
    assert {event["event"] for event in events} == {"tick", "sample_missing"}
    tick = next(event for event in events if event["event"] == "tick")
    assert tick["demand_rpm"] == {"cloud": None}


def test_sigterm_ends_the_collector_cleanly() -> None:
    arguments = ("--site", "edge1", "--gateways", "127.0.0.1", "--port", "9", "--listen", "127.0.0.1:0")
    with process("collector", *arguments) as started:
        with pytest.raises(subprocess.TimeoutExpired):
            started.wait(3)
        started.terminate()
        assert started.wait(20) == 0
