"""The conformance kit: contracts that plugins prove themselves with, and fakes for their own tests.

A contract is a class of pytest tests. Subclass it, override the fixture that gives what it proves, and give the
subclass a name that begins with ``Test``:

```python
import pytest

from hud_core.testing import BackendContract
from my_plugin.backend import ShipBackend


class TestShip(BackendContract):
    @pytest.fixture
    def backend(self):
        return ShipBackend()
```

Contracts need pytest, which ``pip install "hud-core[testing]"`` brings. Fakes and environments work without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hud_core.testing.agent import AgentContract
    from hud_core.testing.backend import BackendContract
    from hud_core.testing.executor import ExecutorContract
    from hud_core.testing.fakes import InProcessBackend, MemorySink, ScriptedAgent
    from hud_core.testing.grader import GraderContract
    from hud_core.testing.plugin import PluginContract
    from hud_core.testing.result_sink import ResultSinkContract
    from hud_core.testing.task_sink import TaskSinkContract
    from hud_core.testing.task_source import TaskSourceContract

__all__ = [
    "AgentContract",
    "BackendContract",
    "ExecutorContract",
    "GraderContract",
    "InProcessBackend",
    "MemorySink",
    "PluginContract",
    "ResultSinkContract",
    "ScriptedAgent",
    "TaskSinkContract",
    "TaskSourceContract",
]

_HOMES = {
    "AgentContract": "agent",
    "BackendContract": "backend",
    "ExecutorContract": "executor",
    "GraderContract": "grader",
    "InProcessBackend": "fakes",
    "MemorySink": "fakes",
    "PluginContract": "plugin",
    "ResultSinkContract": "result_sink",
    "ScriptedAgent": "fakes",
    "TaskSinkContract": "task_sink",
    "TaskSourceContract": "task_source",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in {"pytest", "_pytest"}:
            raise
        msg = f'{name} needs pytest: pip install "hud-core[testing]"'
        raise ImportError(msg) from error


def __dir__() -> list[str]:
    return __all__
