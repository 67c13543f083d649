from __future__ import annotations

import pytest
from simulator_helpers import constant, scenario, site


@pytest.fixture
def line():
    """One M/M/1 site at 80 %."""
    return scenario({"edge1": site(10)}, {"edge1": constant(8)})
