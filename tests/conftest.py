from __future__ import annotations

import pytest

pytest_plugins = ["fixtures.apiserver"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "apiserver" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.apiserver)
