from pathlib import Path

import pytest

from analysis.paths import RunPaths
from spillover.model import SpilloverError


@pytest.mark.parametrize("directory", ["../elsewhere", "/elsewhere", "cells/../../elsewhere", ""])
def test_a_cell_outside_the_run_is_refused(directory):
    with pytest.raises(SpilloverError, match="inside the run directory"):
        RunPaths(Path("run")).cell(directory)


def test_a_cell_inside_the_run_is_found():
    assert RunPaths(Path("run")).cell("cells/01").samples_csv == Path("run/cells/01/samples.csv")
