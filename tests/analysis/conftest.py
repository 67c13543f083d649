import shutil
from pathlib import Path

import pytest
from run_builder import build_run


@pytest.fixture(scope="session")
def pristine_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that no test may change."""
    return build_run(tmp_path_factory.mktemp("results"))


@pytest.fixture
def run_directory(pristine_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(pristine_run, tmp_path / pristine_run.name))
