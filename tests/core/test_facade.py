"""What users import from `hud`, as code written for the reference SDK does."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import hud_core

HERE = {
    "hud": ["Environment", "EvalContext", "eval", "instrument", "run", "Job", "Task", "__version__"],
    "hud.environment": ["Environment", "ConflictResolution", "Connection", "Connector", "EnvConfig", "ScenarioHandle"],
    "hud.eval": ["Task", "EvalContext", "EvalBatch"],
    "hud.eval.task": ["Task", "TaskAgentConfig"],
    "hud.eval.context": ["EvalContext"],
    "hud.types": ["AgentType", "MCPToolCall", "MCPToolResult", "Trace", "BaseAgentConfig", "Task"],
    "hud.tools.types": ["EvaluationResult", "ScenarioResult", "SubScore", "Citation", "AgentAnswer", "ToolError"],
    "hud.agents": ["MCPAgent", "create_agent"],
    "hud.settings": ["settings", "Settings", "get_settings"],
    "hud.shared.exceptions": ["HudException", "HudConfigError"],
}
ELSEWHERE = {
    "hud": {"Chat": "hud-platform"},
    "hud.agents": {"ClaudeAgent": "hud-anthropic", "GeminiAgent": "hud-gemini"},
    "hud.agents.claude": {"ClaudeAgent": "hud-anthropic"},
    "hud.agents.gemini_cua": {"GeminiCUAAgent": "hud-gemini"},
    "hud.types": {"LegacyTask": "hud-huggingface"},
    "hud.datasets": {"load_tasks": "hud-huggingface", "save_tasks": "hud-huggingface"},
    "hud.environment": {"MCPRouter": "hud-mcp"},
    "hud.server": {"MCPServer": "hud-mcp", "MCPRouter": "hud-mcp"},
    "hud.server.context": {"attach_context": "hud-mcp"},
    "hud.native": {"Grade": "hud-graders"},
    "hud.native.graders": {"Grade": "hud-graders", "BashGrader": "hud-graders"},
    "hud.tools": {"BashTool": "hud-tools", "PlaywrightTool": "hud-tools"},
    "hud.tools.coding": {"BashTool": "hud-tools", "EditTool": "hud-tools"},
    "hud.tools.filesystem": {"ReadTool": "hud-tools"},
    "hud.tools.computer": {"AnthropicComputerTool": "hud-tools"},
    "hud.services": {"ChatService": "hud-platform"},
}
GONE = {
    "hud.clients": {"MCPClient": "an Environment is the client"},
    "hud.environment": {"ConnectionConfig": "connect_url", "MockMixin": "mock_tool", "ToolRouter": "MCPRouter"},
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in HERE.items() for name in names])
def test_a_documented_path_works(module, name):
    assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize(
    ("module", "name", "distribution"),
    [(module, name, where) for module, names in ELSEWHERE.items() for name, where in names.items()],
)
def test_a_path_whose_plugin_is_missing_names_what_to_install(module, name, distribution, monkeypatch):
    package = distribution.replace("-", "_")
    for loaded in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)  # missing, though it may be installed
    with pytest.raises(ImportError, match=f"'{name}' is part of {distribution}, .*pip install {distribution}"):
        exec(f"from {module} import {name}")


@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [(module, name, instead) for module, names in GONE.items() for name, instead in names.items()],
)
def test_a_name_that_is_gone_says_what_takes_its_place(module, name, instead):
    with pytest.raises(ImportError, match=f"{module} has no '{name}': .*{instead}"):
        exec(f"from {module} import {name}")


@pytest.mark.parametrize("module", HERE)
def test_a_name_that_never_was_is_an_import_error(module):
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        exec(f"from {module} import Nonsense")


def test_every_public_name_of_the_kernel_is_there():
    assert sorted(hud_core.__all__) == sorted({*hud_core._MODULES, "__version__"})
    for name in hud_core.__all__:
        assert getattr(hud_core, name) is not None


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("module", [*HERE, "hud_core", "hud_core.kernel", "hud.cli"])
def test_importing_prints_nothing_and_patches_nothing(module):
    code = f"""
import builtins, json, socket, sys, threading
before = (sys.excepthook, sys.stdout, socket.socket.connect, dict(vars(builtins)), sys.displayhook)
import importlib
importlib.import_module({module!r})
after = (sys.excepthook, sys.stdout, socket.socket.connect, dict(vars(builtins)), sys.displayhook)
assert before == after
assert threading.active_count() == 1
"""
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("", "")


def test_import_hud_imports_next_to_nothing():
    done = run_python("import sys, hud, json; print(json.dumps(sorted(sys.modules)))")
    heavy = {"asyncio", "anyio", "attr", "attrs", "cattrs", "msgspec", "pluggy", "rich", "structlog", "hud_core"}
    assert not heavy & set(json.loads(done.stdout))


def test_hud_eval_can_be_called_whatever_was_imported_before():
    code = "import hud\nimport hud.eval.task\nfrom hud.eval import Task\nimport hud\nassert callable(hud.eval)\nhud.run"
    run_python(code)
