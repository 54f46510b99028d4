from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def stub() -> ModuleType:
    """The chat-completions endpoint that the tests of hud-openai talk to: judges are asked over HTTP here, too."""
    if "stub_endpoint" not in sys.modules:
        file = Path(__file__).parents[1] / "hud_openai" / "stub_endpoint.py"
        spec = importlib.util.spec_from_file_location("stub_endpoint", file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["stub_endpoint"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["stub_endpoint"])
    return sys.modules["stub_endpoint"]


@pytest.fixture
def endpoint(stub: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start an endpoint that replies as told, for every model there is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-judge-key")
    with ExitStack() as running:

        def start(*replies: Any) -> Any:
            started = running.enter_context(stub.StubEndpoint(*replies))
            monkeypatch.setenv("OPENAI_BASE_URL", started.url)
            return started

        yield start
