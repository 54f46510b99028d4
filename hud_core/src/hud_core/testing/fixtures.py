"""Pytest fixtures for plugins' own tests: name this module in ``pytest_plugins`` of your root ``conftest.py``."""

from __future__ import annotations

import pytest

from hud_core.kernel import Kernel
from hud_core.testing import fakes


@pytest.fixture
def plugins() -> list[object]:
    """The plugins that the fixture `kernel` has beside the fakes; override it with your own modules."""
    return []


@pytest.fixture
def kernel(plugins: list[object]) -> Kernel:
    """A kernel that knows the fakes and `plugins`, and nothing that happens to be installed."""
    return Kernel(autoload=False, plugins=[fakes, *plugins], strict=True)
