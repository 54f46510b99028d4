"""Every block of the documentation page for LegacyTask and datasets, word for word, against servers that run here."""

from __future__ import annotations

import argparse
import ast
import hashlib
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
from hud_huggingface import load_tasks, run_single_task, run_tasks
from hud_huggingface.cancelling import cancel_all_jobs, cancel_job, cancel_task
from hud_huggingface.commands import cancel
from hud_huggingface.legacy import LegacyTask, read_legacy_task

Make = Callable[..., Any]
PAGE = Path(__file__).with_name("documented.txt").read_text("utf-8")
BLOCKS = dict(re.findall(r"^## (.*?)\n+```(?:python|bash)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
TOKEN = "hf_local_0123456789"
OLD = "ignore:LegacyTask is deprecated:DeprecationWarning"
pytestmark = [
    pytest.mark.filterwarnings(OLD),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # huggingface_hub's own uploads
    # The SDK's client leaves event streams over HTTP to the garbage collector; trio tells.
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
]


async def block(name: str, scope: dict[str, Any] | None = None, **names: Any) -> dict[str, Any]:
    """Run a block of the page, which may await, with these names; give the names that it leaves."""
    code = compile(BLOCKS[name], f"<{name}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    scope = {"__name__": "page"} if scope is None else scope
    scope |= names
    result = eval(code, scope)
    if inspect.isawaitable(result):
        await result
    return scope


def stub_messages() -> ModuleType:
    """The endpoint of the tests of hud-anthropic: test folders are not packages, so it is loaded by its path."""
    name = "stub_messages"
    if name not in sys.modules:
        path = Path(__file__).parents[2] / "hud_anthropic" / f"{name}.py"
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
    assert len(BLOCKS) == 10


def test_the_blocks_are_word_for_word_those_of_the_page() -> None:
    digest = "b9a70c85283816ec11a53cb17e28562a1a74ec86645d3d77b94f6957ec6f122b"
    assert hashlib.sha256(PAGE.encode()).hexdigest() == digest, "they were compared with the page, and changed since"


@pytest.mark.parametrize(
    ("function", "required", "defaults"),
    [
        (
            run_single_task,
            ["task", "agent_type"],
            {
                "agent_params": None, "max_steps": 10, "job_id": None, "task_id": None, "group_id": None,
                "trace_name": None, "metadata": None,
            },
        ),
        (
            run_tasks,
            ["tasks", "agent_type"],
            {
                "agent_params": None, "name": "Evaluation", "max_concurrent": 30, "metadata": None, "max_steps": 10,
                "group_size": 1, "remote": False,
            },
        ),
        (
            LegacyTask,
            ["prompt", "mcp_config"],
            {"id": None, "setup_tool": None, "evaluate_tool": None, "agent_config": None},
        ),
    ],
)  # fmt: skip
def test_the_tables_of_the_page(function: Any, required: list[str], defaults: dict[str, Any]) -> None:
    found = {
        name: one.default
        for name, one in inspect.signature(function).parameters.items()
        if one.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert [name for name, default in found.items() if default is inspect.Parameter.empty] == required
    assert {name: found[name] for name in defaults} == defaults
    if function is LegacyTask:
        assert LegacyTask(prompt="Go.", mcp_config={"a": {"url": "http://x/mcp"}}).metadata == {}


async def test_environment_variable_substitution(monkeypatch: pytest.MonkeyPatch, counter_url: str) -> None:
    monkeypatch.setenv("HUD_MCP_URL", counter_url)
    monkeypatch.setenv("HUD_API_KEY", "the-key")
    task = (await block("Environment Variable Substitution", LegacyTask=LegacyTask))["task"]
    headers = {"Authorization": "Bearer the-key", "Mcp-Image": "hudpython/hud-browser:latest"}
    assert task.mcp_config == {"browser": {"url": counter_url, "headers": headers}}
    with stub_messages().StubMessages(stub_messages().fail(404)) as server:  # which keeps the headers that came
        monkeypatch.setenv("HUD_MCP_URL", f"{server.url}/mcp")
        await run_single_task(task, "oracle", retries=None)
    sent = server.requests[0].headers
    assert (sent["authorization"], sent["mcp-image"]) == ("Bearer the-key", "hudpython/hud-browser:latest")
    monkeypatch.delenv("HUD_MCP_URL")
    assert task.mcp_config["browser"]["url"] == "https://mcp.hud.ai/v3/mcp"
    dumped = task.model_dump()
    assert dumped["mcp_config"]["browser"]["headers"]["Authorization"] == "Bearer ${HUD_API_KEY}"


async def test_the_agent_config_block_takes_effect(task: Make, counter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = (await block("Agent Config Options", **(await block("LegacyTask Class"))))["task"]
    for use in (lambda: made.mcp_config, made.to_task):  # as the page has it, cut short
        with pytest.raises(ConfigError, match=r"'Complete the form': mcp_config=\{\.\.\.\} stands for your servers"):
            use()
    made.mcp_config, made.evaluate_tool = counter, task().evaluate_tool
    with claude(monkeypatch, lambda request: stub_messages().say("done")) as server:
        params = {"checkpoint_name": "claude-sonnet-4-5", "system_prompt": "You fill in forms."}
        trace = await run_single_task(made, AgentType.CLAUDE, params)
    assert trace.reward == 0.0, trace.info
    assert [tool["name"] for tool in server.bodies[0]["tools"]] == ["computer"]
    system = "".join(part["text"] for part in server.bodies[0]["system"])
    assert system == "You fill in forms.\n\nBe careful with form fields"


async def test_run_single_task(task: Make, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with claude(monkeypatch, counting) as server:
        result = (await block("run_single_task", task=task()))["result"]
    assert capsys.readouterr().out == "Reward: 1.0\n"
    assert server.bodies[0]["model"] == "claude-sonnet-4-5"
    assert [message["role"] for message in result.messages] == ["user", *["assistant", "tool"] * 3, "assistant"]
    assert result.messages[-1] == {"role": "assistant", "content": "done", "tool_calls": []}
    assert result.trace


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


async def test_run_tasks_and_the_examples(
    hub: Any, platform: type[Remote], row: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"evaluate_tool": {"anything": {"text": '{"score": 1}'}}}  # the counter is everybody's
    rows = [row(id=name, prompt=f"Count to 3 and {name}.", **one) for name in ("Login", "leave")]
    hub.put("hud-evals/SheetBench-50", {"train.jsonl": jsonl(rows)})
    tasks = load_tasks("hud-evals/SheetBench-50")
    with claude(monkeypatch, counting):
        assert [t.reward for t in (await block("run_tasks", tasks=tasks))["results"]] == [1.0, 1.0]
        names = {"AgentType": AgentType, "run_tasks": run_tasks, "load_tasks": load_tasks}
        scope = await block("run_tasks examples", tasks=tasks[:1], **names)
    assert [trace.task for trace in scope["results"]] == ["Login"]
    assert scope["stats"][0]["rewards"] == [1.0, 1.0, 1.0]
    (job,) = platform.jobs.values()
    assert [one.id for one in job.tasks] == ["Login"]


@pytest.mark.slow
async def test_the_page_from_top_to_bottom(
    hub: Any, platform: type[Remote], npm: Any, row: Make, counter_url: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any,
) -> None:  # fmt: skip
    """Run all blocks in their order, as one program, on this project's server and two that are not ours."""
    folder = tmp_path / "files"
    folder.mkdir()
    commands = {
        "files": [*npm("server-filesystem/dist/index.js"), str(folder)],
        "everything": [*npm("server-everything/dist/index.js"), "stdio"],
    }
    path = folder / "sum.json"
    others = {
        "id": "others",
        "prompt": f"Login, and write the sum of 2 and 3 into {path}.",
        "mcp_config": {server: {"command": words[0], "args": words[1:]} for server, words in commands.items()},
        "setup_tool": {"write_file": {"path": str(path), "content": '{"grade": 0.5}'}},
        "evaluate_tool": {"name": "read_text_file", "arguments": {"path": str(path)}},
        "agent_config": {"allowed_tools": ["get-sum", "write_file"], "append_setup_output": False},
    }
    one = {"evaluate_tool": {"anything": {"text": '{"score": 1}'}}}  # the counter is everybody's
    rows = [row(id="ours", **one), others]
    hub.put("hud-evals/SheetBench-50", {"train.jsonl": jsonl(rows)})
    for name, value in {"HF_TOKEN": TOKEN, "HUD_MCP_URL": counter_url, "HUD_API_KEY": "sk-planted-0123"}.items():
        monkeypatch.setenv(name, value)

    def decide(request: Any) -> Any:
        stub, messages = stub_messages(), request.body["messages"]
        asked = messages[0]["content"][0]["text"]
        if "Count" in asked:
            return counting(request)
        if "sum" not in asked or len(messages) > 3:
            return stub.say("done")
        assert [tool["name"] for tool in request.body["tools"]] == ["write_file", "get-sum"]
        if len(messages) == 1:
            return stub.call(("get-sum", {"a": 2, "b": 3}))
        assert "5" in json.dumps(messages[-1])
        return stub.call(("write_file", {"path": str(path), "content": '{"grade": 0.5}'}))

    tasks = load_tasks("hud-evals/SheetBench-50")
    scope: dict[str, Any] = {"__name__": "page", "load_tasks": load_tasks, "job_id": "j", "task_id": "t"}
    seen: dict[str, dict[str, Any]] = {}
    with claude(monkeypatch, decide):
        for name, code in BLOCKS.items():
            if name != "Commands":
                is_remote = "remote=True" in code  # which a server that is a command of this machine cannot be
                seen[name] = dict(await block(name, scope, tasks=tasks[:1] if is_remote else tasks))
        assert capsys.readouterr().out == "Reward: None\n"  # the page's task has no evaluate_tool
        again = (await block("run_single_task", task=tasks[1]))["result"]
    assert (again.reward, again.content) == (0.5, "done"), again.info
    assert seen["run_single_task"]["result"].info["error"] == "the task has no evaluate_tool, so nothing scores it"
    assert [trace.reward for trace in seen["run_tasks"]["results"]] == [1.0, 0.5]
    assert [(trace.task, trace.reward) for trace in seen["run_tasks examples"]["results"]] == [("others", 0.5)]
    assert [one["rewards"] for one in seen["run_tasks examples"]["stats"]] == [[1.0] * 3]
    assert [[task.id for task in job.tasks] for job in platform.jobs.values()] == [["ours"]] * 2
    assert platform.cancelled == [("j", None), ("j", "t"), (None, None)]
    assert load_tasks("alice/my-tasks") == tasks


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
    assert [task.model_dump()["env"]["options"]["mcp_config"] for task in job.tasks] == [row["mcp_config"]] * 2


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


async def test_the_dicts_that_are_saved_keep_their_templates(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("A_KEY", "planted-0123456789")
    row = {"prompt": "Go.", "mcp_config": {"web": {"url": "http://x/mcp", "headers": {"K": "${A_KEY}"}}}}
    task = read_legacy_task(row)
    assert task.mcp_config["web"]["headers"]["K"] == "planted-0123456789"
    await block("Saving Tasks", tasks=[task])
    assert not hub.repos["alice/my-tasks"].private
    assert not [path for path, data in hub.files("alice/my-tasks").items() if b"planted" in data]
    assert load_tasks("alice/my-tasks") == [task]


def test_the_commands_of_the_page(capsys: Any) -> None:
    commands = BLOCKS["Commands"].splitlines()
    assert len(commands) == 3
    for command in commands:
        words = command.replace("<job_id>", "j").replace("<task_id>", "t").split()[1:]
        assert main(words) == 2
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
