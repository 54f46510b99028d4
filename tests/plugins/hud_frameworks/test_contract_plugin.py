"""hud-frameworks costs nothing until it is used, and says what it misses. It has no hooks, and so no contract."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hud_frameworks
from hud_core import Environment


def test_importing_it_imports_no_framework() -> None:
    code = "import sys, hud_frameworks; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"agents", "anyio", "google", "hud_core", "langchain_core", "llama_index"} & {*done.stdout.split()}


def test_a_name_that_it_does_not_have_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'hud_frameworks' has no attribute 'crewai_tools'"):
        _ = hud_frameworks.crewai_tools


@pytest.mark.parametrize(
    ("method", "module", "problem"),
    [
        (
            "as_langchain_tools",
            "langchain_core",
            "langchain-core is not installed: pip install 'hud-frameworks[langchain]'",
        ),
        (
            "as_llamaindex_tools",
            "llama_index",
            "llama-index-core is not installed: pip install 'hud-frameworks[llamaindex]'",
        ),
        ("as_adk_tools", "google.adk", "google-adk is not installed: pip install 'hud-frameworks[adk]'"),
        (
            "as_openai_agent_tools",
            "agents",
            "openai-agents is not installed: pip install 'hud-frameworks[openai-agents]'",
        ),
    ],
)
def test_a_framework_that_is_not_installed_is_named(
    method: str, module: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as caught:
        getattr(Environment("letters"), method)()
    assert str(caught.value) == problem
