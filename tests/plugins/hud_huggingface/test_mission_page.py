"""Every block of the documentation page for LegacyTask and datasets, word for word, against servers that run here."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hud.cli import main
from hud.types import AgentType
from hud_core import Cancelled, Executor, JobHandle, Kernel
from hud_core.errors import ConfigError
from hud_core.hookspecs import hookimpl
from hud_core.job.plan import JobSpec
from hud_core.providers import Provider
from hud_huggingface import running
from hud_huggingface.cancelling import cancel_all_jobs, cancel_job, cancel_task
from hud_huggingface.commands import cancel
from hud_huggingface.legacy import LegacyTask, read_legacy_task

Make = Callable[..., Any]
PAGE = Path(__file__).with_name("documented.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^## (.*?)\n+```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
OLD = "ignore:LegacyTask is deprecated:DeprecationWarning"
pytestmark = [
    pytest.mark.filterwarnings(OLD),
    # The SDK's client leaves event streams over HTTP to the garbage collector; trio tells.
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
]


async def block(name: str, **names: Any) -> dict[str, Any]:
    """Run a block of the page, which may await, with these names; give the names that it leaves."""
    code = compile(BLOCKS[name], f"<{name}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    scope = {"__name__": "page", **names}
    result = eval(code, scope)
    if inspect.isawaitable(result):
        await result
    return scope


def stub_messages() -> ModuleType:
    """The endpoint of the tests of hud-anthropic: test folders are not packages, so it is loaded by its path."""
    name = "stub_messages"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "hud_anthropic" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@contextmanager
def claude(monkeypatch: pytest.MonkeyPatch, decide: Callable[[Any], Any]) -> Iterator[Any]:
    """Be the endpoint of Claude's models."""
    with stub_messages().StubMessages(decide) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
        yield server


def counting(request: Any) -> Any:
    """Count to three, one call a turn, and then say so."""
    stub = stub_messages()
    results = sum(message["role"] == "user" for message in request.body["messages"]) - 1
    return stub.call(("act", {})) if results < 3 else stub.say("done")


def test_the_page_is_complete() -> None:
    assert len(BLOCKS) == 9


async def test_environment_variable_substitution(monkeypatch: pytest.MonkeyPatch, counter_url: str) -> None:
    monkeypatch.setenv("HUD_MCP_URL", counter_url)
    monkeypatch.setenv("HUD_API_KEY", "the-key")
    task = (await block("Environment Variable Substitution", LegacyTask=LegacyTask))["task"]
    headers = {"Authorization": "Bearer the-key", "Mcp-Image": "hudpython/hud-browser:latest"}
    assert task.mcp_config == {"browser": {"url": counter_url, "headers": headers}}
    monkeypatch.delenv("HUD_MCP_URL")
    assert task.mcp_config["browser"]["url"] == "https://mcp.hud.ai/v3/mcp"
    dumped = task.model_dump()
    assert dumped["mcp_config"]["browser"]["headers"]["Authorization"] == "Bearer ${HUD_API_KEY}"


async def test_the_import_and_the_agent_config_block() -> None:
    assert (await block("LegacyTask Class"))["LegacyTask"] is LegacyTask
    with pytest.raises(ValueError, match=r"\{\.\.\.\} stands for your servers"):  # as the page has it, cut short
        await block("Agent Config Options", LegacyTask=LegacyTask)
    whole = BLOCKS["Agent Config Options"].replace("{...}", '{"a": {"url": "http://x/mcp"}}')
    scope: dict[str, Any] = {"LegacyTask": LegacyTask}
    exec(whole, scope)
    assert scope["task"].agent_config.system_prompt == "Be careful with form fields"
    assert scope["task"].to_task().agent_config.allowed_tools == ["computer", "search"]


async def test_run_single_task(task: Make, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with claude(monkeypatch, counting) as server:
        result = (await block("run_single_task", task=task()))["result"]
    assert capsys.readouterr().out == "Reward: 1.0\n"
    assert server.bodies[0]["model"] == "claude-sonnet-4-5"
    assert [message["role"] for message in result.messages] == ["user", *["assistant", "tool"] * 3, "assistant"]
    assert result.messages[-1] == {"role": "assistant", "content": "done", "tool_calls": []}
    assert result.trace


async def test_run_tasks_and_the_examples(task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"evaluate_tool": {"anything": {"text": '{"score": 1}'}}}  # the counter is everybody's
    tasks = [task(id=name, prompt=f"Count to 3 and {name}.", **one) for name in ("Login", "leave")]
    with claude(monkeypatch, counting):
        assert [t.reward for t in (await block("run_tasks", tasks=tasks))["results"]] == [1.0, 1.0]
        monkeypatch.setattr(running, "Kernel", lambda: Kernel(plugins=[Platform()]))
        loading = {"hud-evals/SheetBench-50": tasks}.__getitem__
        names = {"AgentType": AgentType, "run_tasks": running.run_tasks, "load_tasks": loading}
        scope = await block("run_tasks examples", tasks=tasks[:1], **names)
    assert [trace.task for trace in scope["results"]] == ["Login"]
    assert scope["stats"][0]["rewards"] == [1.0, 1.0, 1.0]


@pytest.mark.slow
async def test_the_blocks_run_on_servers_that_are_not_ours(
    npm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    commands = {
        "files": [*npm("server-filesystem/dist/index.js"), str(folder)],
        "everything": [*npm("server-everything/dist/index.js"), "stdio"],
    }

    def row(name: str) -> dict[str, Any]:
        path = str(folder / f"{name}.json")
        return {
            "id": name,
            "prompt": f"Write the sum of 2 and 3 into {path}.",
            "mcp_config": {server: {"command": words[0], "args": words[1:]} for server, words in commands.items()},
            "setup_tool": {"write_file": {"path": path, "content": "{}"}},
            "evaluate_tool": {"name": "read_text_file", "arguments": {"path": path}},
            "agent_config": {"allowed_tools": ["get-sum", "write_file"], "append_setup_output": False},
        }

    def decide(request: Any) -> Any:
        stub, messages = stub_messages(), request.body["messages"]
        assert [tool["name"] for tool in request.body["tools"]] == ["write_file", "get-sum"]
        path = re.findall(r"into (\S+)\.$", messages[0]["content"][-1]["text"])[0]
        if len(messages) == 1:
            return stub.call(("get-sum", {"a": 2, "b": 3}))
        if len(messages) == 3:
            assert "5" in json.dumps(messages[-1])
            return stub.call(("write_file", {"path": path, "content": '{"grade": 0.5}'}))
        return stub.say("done")

    with claude(monkeypatch, decide):
        result = (await block("run_single_task", task=read_legacy_task(row("one"))))["result"]
        assert (result.reward, result.content) == (0.5, "done"), result.info
        results = (await block("run_tasks", tasks=[read_legacy_task(row("two")), row("three")]))["results"]
        assert [trace.reward for trace in results] == [0.5, 0.5]


# --- a platform that is not there -------------------------------------------------------------------------------------


class Submitted(JobHandle):
    async def wait(self) -> Any:
        raise NotImplementedError

    async def cancel(self) -> None:
        raise NotImplementedError


class Remote(Executor):
    """A platform that keeps what it is told."""

    jobs: dict[str, JobSpec] = {}  # noqa: RUF012
    cancelled: list[tuple[str | None, str | None]] = []  # noqa: RUF012

    async def submit(self, job: JobSpec) -> JobHandle:
        self.jobs[f"job-{len(self.jobs)}"] = job
        return Submitted()

    async def cancel(self, job: str | None = None, task: str | None = None) -> Cancelled:
        self.cancelled.append((job, task))
        if job == "gone":
            return Cancelled()
        return Cancelled(found=5, jobs={job or "a": 1 if task else 4})


class Platform:
    """A plugin that provides it."""

    @hookimpl
    def hud_executors(self) -> Any:
        yield Provider("platform", lambda: Remote, "a stand-in")


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> type[Remote]:
    Remote.jobs, Remote.cancelled = {}, []
    for module in ("running", "cancelling"):
        kernel = lambda: Kernel(plugins=[Platform()])  # noqa: E731
        monkeypatch.setattr(importlib.import_module(f"hud_huggingface.{module}"), "Kernel", kernel)
    return Remote


async def test_remote_execution(platform: type[Remote]) -> None:
    row = {"prompt": "Go.", "mcp_config": {"web": {"url": "${A_URL}", "headers": {"K": "${A_KEY}"}}}}
    await block("Remote Execution", tasks=[read_legacy_task(row), row])
    (job,) = platform.jobs.values()
    assert (job.name, job.agents, job.agent_options) == (
        "Remote Evaluation", ("claude",), {"checkpoint_name": "claude-sonnet-4-5"},
    )  # fmt: skip
    assert [task.model_dump()["env"]["options"]["mcp_config"] for task in job.tasks] == [row["mcp_config"]] * 2  # type: ignore[union-attr]


async def test_cancellation(platform: type[Remote]) -> None:
    await block("Cancellation", job_id="j", task_id="t")
    assert platform.cancelled == [("j", None), ("j", "t"), (None, None)]


async def test_what_cancelling_gives(platform: type[Remote]) -> None:
    assert await cancel_job("j") == {"job_id": "j", "total_found": 5, "cancelled": 4}
    assert await cancel_job("gone") == {"job_id": "gone", "total_found": 0, "cancelled": 0}
    assert await cancel_task("j", "t") == {"job_id": "j", "task_id": "t", "total_found": 5, "cancelled": 1}
    details = [{"job_id": "a", "cancelled": 4}]
    assert await cancel_all_jobs() == {"jobs_cancelled": 1, "total_tasks_cancelled": 4, "job_details": details}
    for call in (lambda: cancel_job(" "), lambda: cancel_task("j", ""), lambda: cancel_task("", "t")):
        with pytest.raises(ConfigError, match="must be the id of one"):
            await call()


async def test_the_dicts_that_are_saved_keep_their_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "planted")
    saved: dict[str, Any] = {}
    row = {"prompt": "Go.", "mcp_config": {"web": {"url": "http://x/mcp", "headers": {"K": "${A_KEY}"}}}}
    module = importlib.import_module("hud_huggingface")
    monkeypatch.setattr(module, "save_tasks", lambda **options: saved.update(options), raising=False)
    task = read_legacy_task(row)
    assert task.mcp_config["web"]["headers"]["K"] == "planted"
    await block("Saving Tasks", tasks=[task])
    assert saved["repo_id"] == "my-tasks"
    assert "planted" not in json.dumps(saved["tasks"])
    assert read_legacy_task(saved["tasks"][0]) == task


def test_the_commands_of_the_page(capsys: Any) -> None:
    commands = re.findall(r"^hud cancel .*$", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        words = command.replace("<job_id>", "j").replace("<task_id>", "t").split()[1:]
        assert main([*words, "--yes"]) == 2
        assert "no remote platform is configured" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "asked", "said"),
    [
        (["--job", "j"], ("j", None), "job j: stopped 4 of 5 tasks\n"),
        (["j"], ("j", None), "job j: stopped 4 of 5 tasks\n"),
        (["gone"], ("gone", None), "job gone: there is nothing to stop\n"),
        (["--task", "j", "t"], ("j", "t"), "task t of job j: stopped 1 of 5 tasks\n"),
        (["--all"], (None, None), "stopped 1 jobs, 4 tasks\n  a: 4 tasks\n"),
    ],
)
def test_the_command_says_what_it_stopped(
    words: list[str], asked: tuple[str | None, str | None], said: str, platform: type[Remote], capsys: Any
) -> None:
    assert cancel.run(parsed([*words, "--yes"])) == 0
    assert platform.cancelled == [asked]
    assert capsys.readouterr().out == said
    cancel.run(parsed([*words, "-y", "--json"]))
    assert isinstance(json.loads(capsys.readouterr().out), dict)


@pytest.mark.parametrize(
    ("answer", "words", "stops"),
    [
        ("\n", ["j"], True),
        ("n\n", ["j"], False),
        ("\n", ["--all"], False),
        ("y\n", ["--all"], True),
        ("", ["-a"], False),
    ],
)
def test_the_command_asks(
    answer: str, words: list[str], *, stops: bool, platform: type[Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert cancel.run(parsed(words)) == 0
    assert bool(platform.cancelled) == stops


@pytest.mark.parametrize("words", [[], ["j", "--all"], ["j", "--job", "k"], ["--all", "--task", "j", "t"]])
def test_exactly_one_thing_is_stopped(words: list[str], platform: type[Remote]) -> None:
    with pytest.raises(ConfigError, match="say what to stop"):
        cancel.run(parsed([*words, "--yes"]))
    assert not platform.cancelled


def test_nobody_is_asked_where_there_is_no_terminal(platform: type[Remote], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigError, match="say --yes"):
        cancel.run(parsed(["--all"]))
    assert not platform.cancelled


def parsed(words: list[str]) -> argparse.Namespace:
    """Give the arguments of the command, with a kernel that has the platform."""
    parser = argparse.ArgumentParser()
    cancel.configure(parser)
    arguments = parser.parse_args(words)
    arguments.kernel = Kernel(plugins=[Platform()])
    return arguments
