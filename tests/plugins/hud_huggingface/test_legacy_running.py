"""How a LegacyTask runs: setup tools, the agent, evaluate tools, the reward; on real servers."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest

from hud.types import AgentType
from hud_core import Cause, Environment, EnvRef, JobControl, Kernel, Task, ToolResult, evaluate, run
from hud_core.errors import ConfigError, GraderError, ProviderError, TaskDataError
from hud_core.job.plan import as_task
from hud_core.model.codec import load_task
from hud_core.model.content import TextContent
from hud_huggingface.execution import LegacyBackend
from hud_huggingface.legacy import LegacyTask, LegacyTaskWarning
from hud_huggingface.rewards import reward_of
from hud_huggingface.running import run_single_task
from hud_huggingface.running import run_tasks as typed_run_tasks

Make = Callable[..., Any]
run_tasks: Callable[..., Any] = typed_run_tasks  # what comes back depends on the arguments
SECRET = "sk-planted-0123456789"

# The SDK's client leaves event streams over HTTP to the garbage collector; trio tells.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:LegacyTask is deprecated:DeprecationWarning"),
]


# --- the reward -------------------------------------------------------------------------------------------------------


def said(text: str = "", structured: Any = None) -> ToolResult:
    return ToolResult(content=(TextContent(text=text),), structuredContent=structured)


@pytest.mark.parametrize(
    ("result", "reward"),
    [
        (said(structured={"reward": 0.5}), 0.5),
        (said(structured={"grade": 1}), 1.0),
        (said(structured={"score": True}), 1.0),
        (said(structured={"score": 0.2, "reward": 0.7}), 0.7),
        (said(structured={"result": {"reward": 0.5}}), 0.5),
        (said(structured={"result": 0.25}), 0.25),
        (said('{"reward": 0.5}'), 0.5),
        (said(' {"score": -1.5, "done": false} '), -1.5),
        (said("0.75"), 0.75),
        (said("true"), 1.0),
        (said('{"reward": 0.5}', {"steps": 3}), 0.5),
    ],
)
def test_a_reward_is_found(result: ToolResult, reward: float) -> None:
    assert reward_of(result).reward == reward


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (said("well done"), "no 'reward' or 'grade' or 'score' in its result 'well done'"),
        (said(), "gave no reward"),
        (said(structured={"steps": 3}), "gave no reward"),
        (said(structured=[1]), "gave no reward"),
        (said('{"reward": "much"}'), "reward must be a number, got str"),
        (said('{"reward": NaN}'), "reward must be finite"),
        (said('{"reward": null}'), "reward must be a number"),
        (said('{"reward": 1, "isError": true, "content": "the page broke"}'), "the page broke"),
        (ToolResult.error("no such page"), "failed: no such page"),
    ],
)
def test_what_is_no_reward_is_never_a_number(result: ToolResult, problem: str) -> None:
    with pytest.raises(GraderError, match="'look'") as raised:
        reward_of(result, "look")
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("data", "content", "info"),
    [
        ({"reward": 1, "content": "good", "steps": 3}, "good", {"steps": 3}),
        ({"reward": 1, "logs": "good", "info": {"a": 1}}, "good", {"a": 1}),
        ({"reward": 1, "content": ["a"], "message": "good"}, "good", {"content": ["a"]}),
        ({"reward": 1, "grade": 0.5}, None, {"grade": 0.5}),
    ],
)
def test_what_stands_beside_a_reward_is_kept(data: Any, content: str | None, info: dict[str, Any]) -> None:
    evaluation = reward_of(said(structured=data))
    assert (evaluation.content, evaluation.info) == (content, info)


# --- one task ---------------------------------------------------------------------------------------------------------


async def test_a_task_runs_as_it_did(task: Make, counter: Any) -> None:
    trace = await run_single_task(task(mcp_config=counter), AgentType.INTEGRATION_TEST)
    assert (trace.reward, trace.isError, trace.done, trace.task) == (1.0, False, True, "three")
    assert trace.evaluation is not None
    assert trace.evaluation.content == "the counter is at 3"
    assert trace.info == {"steps": 1}
    assert [message["role"] for message in trace.messages] == ["user", "tool", "tool", "tool"]
    assert [block["text"] for block in trace.messages[0]["content"]] == ["Count to 3.", "the counter is at 0"]
    assert [step["type"] for step in trace.trace][-1] == "graded"
    assert trace.citations == ()


async def test_a_server_at_an_address_is_used_with_its_headers(
    task: Make, counter_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_URL", counter_url)
    headers = {"Authorization": "Bearer ${THE_KEY:none}"}
    trace = await run_single_task(task(mcp_config={"web": {"url": "${THE_URL}", "headers": headers}}), "oracle")
    assert trace.reward == 1.0


@pytest.mark.parametrize(
    ("fields", "cause", "error"),
    [
        (
            {"setup_tool": {"setup": {"start": -1}}},
            Cause.SETUP,
            "setup_tool 'setup' failed: tool 'setup' failed: ValueError: a counter cannot be neg",
        ),
        (
            {"setup_tool": {"setpu": {}}},
            Cause.SETUP,
            "setup_tool: the servers have no tool 'setpu'; did you mean 'setup'?",
        ),
        ({"setup_tool": [{"board": {}}, {"setup": {"start": "x"}}]}, Cause.SETUP, "setup_tool 'setup' failed"),
        ({"evaluate_tool": None}, Cause.GRADER, "the task has no evaluate_tool, so nothing scores it"),
        ({"evaluate_tool": {"anything": {"text": "well"}}}, Cause.GRADER, "evaluate_tool 'anything' gave no reward"),
        ({"evaluate_tool": {"evaluate": {}}}, Cause.GRADER, "evaluate_tool 'evaluate' failed"),
        ({"evaluate_tool": {"valuate": {}}}, Cause.GRADER, "no tool 'valuate'; did you mean 'evaluate'?"),
        ({"prompt": " "}, Cause.SETUP, "empty prompt"),
        ({"mcp_config": {"a": {"command": "no-such-command"}}}, Cause.BACKEND, "cannot start 'no-such-command'"),
        (
            {"mcp_config": {"a": {"command": "x", "args": ["-i", "${THE_KEY}"]}}},
            Cause.BACKEND,
            "the connection's args[1] needs the environment variable THE_KEY; set it",
        ),
        (
            {"mcp_config": {"a": {"url": "http://x", "headers": {"X": "${THE_KEY}"}}}},
            Cause.BACKEND,
            "the connection's headers.X needs the environment variable THE_KEY; set it",
        ),
    ],
)
async def test_what_fails_is_invalid_and_says_why(
    fields: dict[str, Any], cause: Cause, error: str, task: Make, looking: Any
) -> None:
    trace = await run_single_task(task(**fields), looking("act", "act", "act"))
    assert (trace.reward, trace.isError, trace.cause) == (None, True, cause)
    assert error in trace.info["error"]


@pytest.mark.parametrize(
    ("setup", "count"),
    [
        ({"hub": {"put": {"number": 2}}}, 3),  # the dispatcher's own form
        ({"name": "hub", "arguments": {"name": "put", "arguments": {"number": 2}}}, 3),
        ({"prepare": {"setup": {"start": 2}}}, 3),  # there is no such dispatcher: its tool is there itself
        ([{"setup": {"start": 7}}, {"setup": {"start": 2}}], 3),
        (None, 1),
    ],
)
async def test_setup_is_called_in_each_form(setup: Any, count: int, task: Make, looking: Any, counter: Any) -> None:
    fields = {"setup_tool": setup, "evaluate_tool": {"evaluate": {"target": count}}}
    if setup is None:
        fields["mcp_config"] = counter
    assert (await run_single_task(task(**fields), looking("act"))).reward == 1.0


async def test_several_evaluations_are_averaged_and_kept(task: Make) -> None:
    calls = [{"evaluate": {"target": 3}}, {"evaluate": {"target": 4, "key": "grade"}}]
    trace = await run_single_task(task(evaluate_tool=calls), "oracle")
    assert trace.reward == 0.5
    assert [part["reward"] for part in trace.info["evaluations"]] == [1.0, 0.0]


async def test_the_step_limit_is_graded(task: Make, looking: Any) -> None:
    agent = looking("act", "act", "act")
    assert (await run_single_task(task(), agent, max_steps=2)).reward == 0.0
    assert agent.steps == 2
    assert (await run_single_task(task(agent_config={"max_steps": 1}), agent, max_steps=2)).reward == 0.0
    assert agent.steps == 1


async def test_what_is_cancelled_is_not_evaluated(task: Make, looking: Any, counter: Any, tmp_path: Path) -> None:
    counter["counter"]["env"] = {"EVALUATED": str(tmp_path / "evaluated")}
    control = JobControl()
    async with anyio.create_task_group() as group:

        async def stop() -> None:
            while not (tmp_path / "began").exists():
                await anyio.sleep(0.01)
            control.stop()

        class Waiting(looking):  # type: ignore[misc]
            async def run(self, prompt: Any, toolbox: Any, *, max_steps: int) -> Any:
                (tmp_path / "began").touch()
                return await super().run(prompt, toolbox, max_steps=max_steps)

        group.start_soon(stop)
        job = await run([task(mcp_config=counter)], Waiting("wait"), control=control, save=False)
    assert [rollout.cause for rollout in job] == [Cause.CANCELLED]
    assert not (tmp_path / "evaluated").exists()
    await run_single_task(task(mcp_config=counter), "oracle")
    assert (tmp_path / "evaluated").read_text() == "evaluated\n"


# --- agent_config -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        (None, {"board", "act", "anything", "knows", "wait", "computer", "hub"}),
        ({"allowed_tools": ["act", "b*"]}, {"act", "board"}),
        (
            {"allowed_tools": ["*"], "disallowed_tools": ["w*", "hub"]},
            {"board", "act", "anything", "knows", "computer"},
        ),
        ({"allowed_tools": ["act", "setup"]}, {"act", "setup"}),  # named in full, so it is the agent's, too
    ],
)
async def test_tools_are_shown_and_hidden(config: Any, shown: set[str], task: Make, looking: Any) -> None:
    agent = looking()
    await run_single_task(task(agent_config=config), agent)
    assert set(agent.tools) == shown


async def test_the_tool_that_a_dispatcher_would_evaluate_with_is_hidden(task: Make, looking: Any) -> None:
    agent = looking("act", "act", "act")
    trace = await run_single_task(task(evaluate_tool={"judge": {"evaluate": {"target": 3}}}), agent)
    assert trace.reward == 1.0
    assert "evaluate" not in agent.tools


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        (None, ["text", "text", "text", "image"]),
        ({"append_setup_output": True}, ["text", "text", "text", "image"]),
        ({"append_setup_tool": False}, ["text"]),
        ({"initial_screenshot": False}, ["text", "text", "text"]),
    ],
)
async def test_the_first_message_goes_on_with_what_setup_gave(
    config: Any, kinds: list[str], task: Make, looking: Any
) -> None:
    agent = looking()
    await run_single_task(task(agent_config=config, setup_tool=[{"setup": {}}, {"board": {}}]), agent)
    (message,) = agent.prompts[0].messages
    assert [block.type for block in message.content] == kinds


async def test_the_model_is_told_the_system_prompt_and_shown_the_screen(task: Make, looking: Any) -> None:
    agent = looking()
    await run_single_task(task(agent_config={"system_prompt": "Be kind.", "initial_screenshot": True}), agent)
    assert agent.prompts[0].system == "Be kind."
    assert agent.prompts[0].initial_screenshot


# --- many tasks -------------------------------------------------------------------------------------------------------


async def test_traces_come_in_the_order_of_the_tasks(task: Make, row: Make) -> None:
    tasks = [task(id=None, evaluate_tool={"evaluate": {"target": target}}) for target in (3, 4)]
    traces = await run_tasks(
        [*tasks, row(id="broken", setup_tool={"gone": {}}), tasks[0].to_task()], "oracle", max_concurrent=1
    )
    assert [trace.reward for trace in traces] == [1.0, 0.0, None, 1.0]
    assert traces[2].cause is Cause.SETUP
    manifest = json.loads((traces[0].directory / "job.json").read_text())
    assert manifest["name"] == "Evaluation"
    assert manifest["metadata"] == {"agent_params": {}, "agent_type": "oracle"}


async def test_groups_give_statistics_that_leave_out_what_has_no_score(task: Make, looking: Any) -> None:
    class Moody(looking):  # type: ignore[misc]
        async def run(self, prompt: Any, toolbox: Any, *, max_steps: int) -> Any:
            self.prompts.append(prompt)
            self.calls = ("act",) * (3 if len(self.prompts) == 1 else 2)
            if len(self.prompts) == 3:
                raise RuntimeError("not today")
            return await super().run(prompt, toolbox, max_steps=max_steps)

    (one,) = await run_tasks([task()], Moody(), group_size=2, max_concurrent=1, metadata={"why": "test"})
    traces = one.pop("traces")
    assert [trace.repeat for trace in traces] == [0, 1]
    assert len({trace.group_id for trace in traces}) == 1
    assert one == {
        "task_id": "three", "prompt": "Count to 3.", "group_id": traces[0].group_id, "group_size": 2,
        "rewards": [1.0], "mean_reward": 1.0, "std_reward": 0.0, "min_reward": 1.0, "max_reward": 1.0,
        "success_rate": 1.0, "error_rate": 0.5, "coverage": 0.5,
    }  # fmt: skip
    manifest = json.loads((traces[0].directory / "job.json").read_text())
    assert manifest["metadata"] == {
        "why": "test", "agent_params": {}, "agent_type": "looking", "group_size": 2, "total_episodes": 2,
    }  # fmt: skip


async def test_a_group_without_any_score_has_no_mean(task: Make) -> None:
    (one,) = await run_tasks([task(id=None, setup_tool={"gone": {}})], "oracle", group_size=2)
    expected: dict[str, Any] = {
        "task_id": "task_0",
        "rewards": [],
        "mean_reward": None,
        "std_reward": None,
        "coverage": 0.0,
    }
    assert {name: one[name] for name in expected} == expected
    assert one["error_rate"] == 1.0


async def test_a_job_is_resumed(task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [task(id="good"), task(id="late", mcp_config={**task().template, "more": {"url": "${LATER}"}})]
    first = await run_tasks(tasks, "oracle", max_concurrent=1, directory=tmp_path / "run", retries=None)
    assert [trace.reward for trace in first] == [1.0, None]
    again = await run_tasks(tasks[:1], "oracle", directory=tmp_path / "run", resume=True)
    assert again[0].reward == 1.0
    assert again[0].started == first[0].started


async def test_the_conversation_is_that_of_the_last_attempt(task: Make, looking: Any) -> None:
    class Shaky(looking):  # type: ignore[misc]
        async def run(self, prompt: Any, toolbox: Any, *, max_steps: int) -> Any:
            answer = await super().run(prompt, toolbox, max_steps=max_steps)
            if len(self.prompts) == 1:
                raise ProviderError("busy", retry_after=0.01)
            return answer

    trace = await run_single_task(task(), Shaky("act"))
    assert len(trace.attempts) == 1
    assert [message["role"] for message in trace.messages] == ["user", "tool", "assistant"]
    assert [step["type"] for step in trace.trace].count("tool_returned") == 2


async def test_one_task_is_named_as_told(task: Make) -> None:
    trace = await run_single_task(task(), "oracle", None, 10, "job-1", "task-1", "group-1", "a name", {"why": "test"})
    assert (trace.job_id, trace.group_id, trace.task) == ("job-1", "group-1", "task-1")
    assert trace.directory is not None
    manifest = json.loads((trace.directory / "job.json").read_text())
    assert manifest["name"] == "a name"
    assert manifest["metadata"] == {"why": "test", "job_id": "job-1", "task_id": "task-1", "group_id": "group-1"}
    assert trace.messages


async def test_what_cannot_be_asked_for_is_told(task: Make) -> None:
    with pytest.raises(ConfigError, match="group_size must be at least 1, got 0"):
        await run_tasks([task()], "oracle", group_size=0)
    with pytest.raises(ConfigError, match="an agent must be the name of one"):
        await run_tasks([task()], None)


@pytest.mark.parametrize("tasks", [[], (), "no-such-file.json"])
async def test_nothing_to_run_is_an_error(tasks: Any) -> None:
    with pytest.raises(ConfigError):
        await run_tasks(tasks, "oracle")


async def test_a_wrong_row_is_named_before_anything_runs(row: Make) -> None:
    with pytest.raises(TaskDataError, match=r"tasks\[1\]\.setup_tool"):
        await run_tasks([row(), row(setup_tool=3)], "oracle")
    with pytest.raises(TaskDataError, match=r"tasks\[0\]"):
        await run_tasks([{"promt": "x"}], "oracle")
    with pytest.warns(LegacyTaskWarning, match="unknown field 'level'"):
        await run_tasks([row(level=3)], "oracle")


async def test_tasks_of_the_new_form_run_too(task: Make) -> None:
    env = Environment("letters")

    @env.scenario()
    async def count() -> Any:
        answer = yield "How many?"
        yield answer == "3"

    new = env("count")
    new.answer = "3"
    traces = await run_tasks([new, task()], "oracle")
    assert [trace.reward for trace in traces] == [1.0, 1.0]
    assert traces[0].content == "3"
    assert traces[0].messages[-1] == {"role": "assistant", "content": "3", "tool_calls": []}


# --- wherever a task is taken -----------------------------------------------------------------------------------------


async def test_it_runs_by_hand(task: Make) -> None:
    async with evaluate(task()) as ctx:
        for _ in range(3):
            await ctx.call_tool("act")
        await ctx.submit("done")
    assert ctx.reward == 1.0


async def test_it_runs_in_a_job_beside_others_and_from_a_stream(task: Make) -> None:
    job = await run(task(), "oracle", save=False)
    assert job.reward == 1.0

    async def stream() -> Any:
        yield task()
        yield task(id="b").to_task()

    job = await run(stream(), "oracle", save=False, max_concurrent=1)
    assert [rollout.reward for rollout in job] == [1.0, 1.0]
    async with evaluate([task(), task(id="b")]) as batch:
        assert len(batch) == 2


async def test_a_task_that_travelled_as_json_runs(task: Make) -> None:

    travelled = load_task(
        json.loads(json.dumps(task(agent_config={"initial_screenshot": False}).to_task().model_dump()))
    )
    assert isinstance(travelled, Task)
    assert travelled.agent_config is not None
    assert travelled.agent_config.append_setup_output
    assert (await run_single_task(travelled, "oracle")).reward == 1.0


def test_the_backend_says_what_it_opens() -> None:
    with pytest.raises(ConfigError, match="'elsewhere' has no option mcp_config"):
        LegacyBackend().open(EnvRef("elsewhere", "legacy"))


def test_the_class_itself_is_no_task() -> None:
    with pytest.raises(ConfigError, match="expected a Task"):
        as_task(LegacyTask)


# --- secrets ----------------------------------------------------------------------------------------------------------


class Echo:
    """A server at an address that refuses a key, and says which."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = f"not {self.headers['authorization']}".encode()
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(401)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    def __enter__(self) -> str:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/mcp"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("form", ["${THE_KEY}", "$THE_KEY", "${OTHER:${THE_KEY}}"])
async def test_a_key_reaches_the_server_and_nothing_else(
    form: str, task: Make, counter: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    counter["counter"]["env"] = {"GIVEN": form}
    counter["counter"]["args"].append(form)
    asked = [{"knows": {"name": "GIVEN", "value": "${THE_KEY}"}}]
    tasks = [task(mcp_config=counter, evaluate_tool=asked, id="a")]
    broken = {"gone": {"url": f"http://127.0.0.1:9/{form}?key={form}", "headers": {"X-Key": form}}}
    failing = {"fails": {"command": "no-such-command", "args": [form], "env": {"K": form}}}
    tasks += [task(id="b", mcp_config=broken), task(id="c", mcp_config=failing)]
    tasks += [task(id="d", mcp_config={"ends": {"command": "false", "args": [form]}})]
    traces = await run_tasks(tasks, "oracle", {}, retries=None)
    assert [trace.reward for trace in traces] == [0.0, None, None, None]
    shown = [repr(traces), repr([trace.messages for trace in traces]), caplog.text, *capsys.readouterr()]
    shown += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text[:2000] for text in shown if SECRET in text]


async def test_what_servers_say_of_a_key_is_not_kept(
    task: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    told = "import os, sys; sys.exit(f'bad: {sys.argv[1:]} {os.environ.get(\"K\")}')"
    command = {"command": sys.executable, "args": ["-c", told, "x${THE_KEY}"], "env": {"K": "Bearer ${OTHER:$THE_KEY}"}}
    with Echo() as url:
        web = {"url": url, "headers": {"Authorization": "Bearer ${THE_KEY}"}}
        tasks = [task(mcp_config={"told": server}, id=server.get("url")) for server in (command, web)]
        traces = await run_tasks(tasks, "oracle", {}, retries=None)
    assert "bad: ['x${THE_KEY}']" in traces[0].info["error"]
    assert "401 Unauthorized: not Bearer ${THE_KEY}" in traces[1].info["error"]
    shown = [repr(traces), caplog.text, *capsys.readouterr()]
    shown += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text[:2000] for text in shown if SECRET in text]


async def test_the_key_does_reach_the_server(
    task: Make, counter: Any, looking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_SECRET", "value-1")
    counter["counter"]["env"] = {"GIVEN": "x$NO_SECRET"}
    counter["counter"]["args"].append("${NO_SECRET:none}")
    asked = [{"knows": {"name": "GIVEN", "value": "xvalue-1"}}, {"knows": {"name": "GONE", "value": "value-1"}}]
    trace = await run_single_task(task(mcp_config=counter, evaluate_tool=asked), looking())
    assert trace.reward == 1.0


# --- elsewhere --------------------------------------------------------------------------------------------------------


async def test_remote_without_a_platform_names_what_to_install(task: Make) -> None:
    with pytest.raises(LookupError, match="pip install hud-platform"):
        await run_tasks([task(mcp_config={"a": {"url": "http://x/mcp"}})], "oracle", remote=True)


async def test_a_program_of_this_machine_is_not_submitted(task: Make, counter: Any) -> None:
    with pytest.raises(ConfigError, match="which a remote platform cannot"):
        await run_tasks([task(mcp_config=counter)], "oracle", remote=True, kernel=Kernel())
