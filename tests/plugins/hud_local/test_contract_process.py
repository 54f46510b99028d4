"""The backend `process` keeps the contract that every backend keeps."""

from __future__ import annotations

import pytest

from hud_core.testing import BackendContract
from hud_local.process.backend import ProcessBackend


class TestProcessBackend(BackendContract):
    isolates_module_state = True

    @pytest.fixture
    def backend(self) -> ProcessBackend:
        return ProcessBackend()
