"""What all contracts share."""

from __future__ import annotations

import importlib.util
from typing import ClassVar

import anyio
import pytest

LOOPS = ["asyncio", "trio"] if importlib.util.find_spec("trio") else ["asyncio"]
PATIENCE = 60.0
"""Seconds after which a contract says that something hangs."""


class Contract:
    """Base class of the contracts: async tests run under anyio's pytest plugin, on asyncio and, if installed, on trio.

    A plugin whose library needs asyncio overrides the fixture:

    ```python
    class TestMine(BackendContract):
        @pytest.fixture
        def anyio_backend(self):
            return "asyncio"
    ```
    """

    pytestmark: ClassVar[pytest.MarkDecorator] = pytest.mark.anyio

    patience: ClassVar[float] = PATIENCE
    """Seconds after which something hangs. Nothing in a contract takes long by itself."""

    @pytest.fixture(params=LOOPS)
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        """The event loop that async tests run on."""
        return str(request.param)


def check(holds: object, message: str) -> None:
    """Fail with a message that tells the plugin's author what to do."""
    if not holds:
        raise AssertionError(message)


def patience(seconds: float = PATIENCE) -> anyio.CancelScope:
    """Give a scope for what must not hang; ask its `cancelled_caught` afterwards."""
    return anyio.move_on_after(seconds)


def required(what: str, contract: str) -> NotImplementedError:
    """Make the error of a fixture that a subclass must override."""
    return NotImplementedError(f"override the fixture {what!r} of {contract}: it gives what the contract tests")


def optional(what: str, unlocks: str) -> None:
    """Skip a test whose fixture the subclass did not override, and say what it would show."""
    pytest.skip(f"not shown: {unlocks}; override the fixture {what!r} to show it")
