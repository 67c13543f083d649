from __future__ import annotations

import pytest
from hypothesis import settings

pytest_plugins = ["fixtures.apiserver"]

settings.register_profile("spillover", deadline=None)  # a busy machine is no failure; pytest-timeout ends what hangs
settings.load_profile("spillover")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "apiserver" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.apiserver)
