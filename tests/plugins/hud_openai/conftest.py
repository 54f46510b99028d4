from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools, ToolFunction


def _load(name: str) -> ModuleType:
    """Import a file beside this one: test folders are not packages, and benchmarks run the same file as a script."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def stub() -> ModuleType:
    """The module `stub_endpoint`: `say`, `call`, `fail`, `hang_up`."""
    return _load("stub_endpoint")


@pytest.fixture
def endpoint(stub: ModuleType) -> Iterator[Callable[..., Any]]:
    """Start endpoints that reply as told; they stop with the test."""
    with ExitStack() as running:
        yield lambda *replies: running.enter_context(stub.StubEndpoint(*replies))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def toolbox() -> Callable[..., Toolbox]:
    """Make a toolbox of functions."""

    def make(*functions: Callable[..., Any]) -> Toolbox:
        made = [ToolFunction(function, blocking=False) for function in functions]
        return Toolbox(LocalTools({function.name: function for function in made}))

    return make
