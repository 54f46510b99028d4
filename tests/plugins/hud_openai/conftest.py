from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
from openai.types import responses as types
from pydantic import TypeAdapter

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
    """Start endpoints that reply as told; they stop with the test, and all that they were sent has the API's form."""
    started = []
    with ExitStack() as running:

        def start(*replies: Any) -> Any:
            started.append(running.enter_context(stub.StubEndpoint(*replies)))
            return started[-1]

        yield start
    for request in (request for server in started for request in server.requests):
        if request.path.partition("?")[0].endswith("/responses"):
            check_form(request.body)


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


# --- the form of requests to the Responses API ------------------------------------------------------------------------


@cache
def forms() -> dict[str, TypeAdapter[Any]]:
    """Give the SDK's own types for what is in a request."""
    return {
        "input": TypeAdapter(list[types.ResponseInputItemParam]),
        "include": TypeAdapter(list[types.ResponseIncludable]),
        "text": TypeAdapter(types.ResponseTextConfigParam),
        "tools": TypeAdapter(list[types.ToolParam]),
        "truncation": TypeAdapter(Literal["auto", "disabled"]),
    }


def check_form(body: Any) -> None:
    """Check a request against the SDK's types.

    Raises:
        ValidationError: It is not what the API takes.
    """
    for name, form in forms().items():
        if name in body:
            drain(form.validate_python(body[name]))


def drain(value: Any) -> None:
    """Look at everything: what the SDK types as an iterable is checked when it is looked at."""
    if isinstance(value, str | bytes | int | float | None):
        return
    for item in value.values() if isinstance(value, dict) else value:
        drain(item)


@pytest.fixture(scope="session")
def form() -> Callable[[Any], None]:
    """The check of a request's form."""
    return check_form
