from __future__ import annotations

import pytest
from hypothesis import settings

pytest_plugins = ["fixtures.apiserver", "fixtures.prometheus"]

settings.register_profile("spillover", deadline=None)  # a busy machine is no failure; pytest-timeout ends what hangs
settings.load_profile("spillover")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "apiserver" in names:
            item.add_marker(pytest.mark.apiserver)
        if "prometheus" in names or "own_prometheus" in names:
            item.add_marker(pytest.mark.prometheus)
