from __future__ import annotations

import pytest

from hud_core import Kernel
from hud_core.testing import fakes


@pytest.fixture
def kernel() -> Kernel:
    """Only the fakes: nothing that happens to be installed."""
    return Kernel(autoload=False, plugins=[fakes], strict=True)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Run directories go into the test's own folder."""
    monkeypatch.chdir(tmp_path)
