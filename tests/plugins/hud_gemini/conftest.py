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
from hud_gemini import GeminiAgent

OUTSIDE = (
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_LOCATION",
)


@pytest.fixture(scope="session")
def stub() -> ModuleType:
    """The module `gemini_wire`: test folders are not packages, so it is loaded by its path."""
    name = "gemini_wire"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def endpoint(stub: ModuleType) -> Iterator[Callable[..., Any]]:
    """Start endpoints that reply as told; they stop with the test, and all that they were sent has the API's form."""
    started = []
    with ExitStack() as running:

        def start(*replies: Any) -> Any:
            started.append(running.enter_context(stub.StubEndpoint(*replies)))
            return started[-1]

        yield start
    for server in started:
        for body in server.bodies:
            stub.check_form(body)


@pytest.fixture
def agent_of() -> Callable[..., GeminiAgent]:
    """Make an agent on an endpoint, which asks once; the class may be another one."""

    def make(endpoint: Any, kind: type[GeminiAgent] = GeminiAgent, **options: Any) -> GeminiAgent:
        url = endpoint if isinstance(endpoint, str) else endpoint.url.removesuffix("/v1")
        return kind.create(**{"base_url": url, "api_key": "key-1", "max_retries": 0, "overload_patience": 0, **options})

    return make


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def toolbox() -> Callable[..., Toolbox]:
    """Make a toolbox of functions."""

    def make(*functions: Callable[..., Any]) -> Toolbox:
        made = [ToolFunction(function, blocking=False) for function in functions]
        return Toolbox(LocalTools({function.name: function for function in made}))

    return make
