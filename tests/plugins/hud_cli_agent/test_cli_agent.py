"""A command-line agent in rollouts: what it gets, what is read of it, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

import hud
from hud_cli_agent import PRESETS, CliAgent
from hud_cli_agent.replies import find, read_json
from hud_cli_agent.templates import fill_command
from hud_core import (
    AgentError,
    Cause,
    ConfigError,
    Environment,
    ImageContent,
    Message,
    Prompt,
    StopReason,
    TextContent,
    Timeouts,
    Toolbox,
)
from hud_core.environment.tools import LocalTools
from hud_core.job import run

pytestmark = pytest.mark.slow  # many processes, and nothing that depends on the Python

TINY = [sys.executable, str(Path(__file__).with_name("tiny_agent.py"))]
KEY = "sk-planted-0123456789"
PATIENCE = 60.0
T = TypeVar("T")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the tools are served with uvicorn


@pytest.fixture
def env() -> Environment:
    env = Environment("letters")

    @env.tool
    def count_letter(text: str, letter: str) -> int:
        """Count a letter."""
        return text.count(letter)

    @env.tool
    async def wait() -> str:
        await anyio.sleep_forever()

    @env.scenario()
    async def count(word: str = "strawberry"):
        answer = yield f"How many r are in {word}?"
        yield float(answer == str(word.count("r")))

    return env


def tiny(*options: str, **settings: Any) -> CliAgent:
    return CliAgent.create(command=[*TINY, *options], **settings)


CALL = ("--call", "count_letter", "--arguments", json.dumps({"text": "strawberry", "letter": "r"}))


class Driven:
    """One rollout that an agent drove, and its record."""

    def __init__(self, rollout: Any, events: list[Any]) -> None:
        self.rollout = rollout
        self.events = events
        self.answer = rollout.answer

    def lines(self, stream: str) -> list[str]:
        return [event.text for event in self.events if event.type == "log_line" and event.data.get("stream") == stream]


async def drive(env: Environment, agent: CliAgent, **options: Any) -> Driven:
    async with hud.eval(env("count")) as ctx:
        rollout = await ctx.drive(agent, **options)
    return Driven(rollout, ctx.events)


# --- what it does -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [(), ("--mcp-config", "{mcp_config}")])
async def test_it_calls_tools_and_what_it_prints_is_the_answer(env: Environment, where: tuple[str, ...]) -> None:
    driven = await drive(env, tiny(*CALL, *where, "--to-stderr", "counting"))
    assert (driven.rollout.reward, driven.answer.text, driven.answer.stop_reason) == (1.0, "3", StopReason.ANSWERED)
    calls = [event.call.arguments for event in driven.events if event.type == "tool_called"]
    assert calls == [{"text": "strawberry", "letter": "r"}]
    assert (driven.lines("stdout"), driven.lines("stderr")) == (["3"], ["counting"])
    assert (driven.rollout.usage.calls, driven.rollout.usage.cost) == (1, None)


async def test_hidden_tools_are_not_served(env: Environment) -> None:
    assert (await drive(env, tiny(*CALL, disallowed_tools=["count_*"]))).answer.stop_reason is StopReason.EMPTY


@pytest.mark.parametrize("options", [("--prompt-file", "{prompt_file}"), ()])
async def test_the_prompt_is_a_file_or_comes_on_stdin(env: Environment, options: tuple[str, ...]) -> None:
    driven = await drive(env, tiny("--say", "{{said}}", *options, system_prompt="Be brief."))
    assert driven.answer.text == "Be brief.\n\nHow many r are in strawberry?"


async def test_the_prompt_may_be_an_argument_whatever_is_in_it(env: Environment) -> None:
    @env.scenario()
    async def odd():
        yield "$(id) 'one' \"two\" {model} {{x}} ; --exit 3"
        yield 1.0

    async with hud.eval(env("odd")) as ctx:
        await ctx.drive(tiny("--say", "{prompt}"))
        assert ctx.answer == ctx.prompt


async def test_pictures_and_roles_of_a_prompt_reach_the_program() -> None:
    messages = (
        Message(role="system", content=(TextContent(text="Look."),)),
        Message(content=(TextContent(text="What is this?"), ImageContent(data="iVBORw0KGgo="))),
    )
    answer = await tiny("--say", "{{said}}").run(Prompt(messages=messages), Toolbox(LocalTools({})), max_steps=3)
    assert answer.text.startswith("system: Look.\n\nuser: What is this?\n[image/png: ")
    assert answer.text.endswith("prompt-1.png]")


async def test_the_answer_may_be_a_file_or_a_field(env: Environment) -> None:
    assert (await drive(env, tiny("--say", "3", "--answer-file", "{answer_file}", answer="file"))).answer.text == "3"
    said = (
        json.dumps([{"type": "system"}, {"type": "result", "result": {"text": "3"}}])
        .replace("{", "{{")
        .replace("}", "}}")
    )
    assert (await drive(env, tiny("--say", said, answer="json:result.text"))).answer.text == "3"


async def test_an_answer_that_is_not_where_it_should_be_is_no_answer(env: Environment) -> None:
    for answer in ("file", "json:result"):
        with pytest.raises(AgentError, match=f"gave no answer where answer='{answer}' looks for it"):
            await drive(env, tiny("--say", "3", answer=answer))


async def test_a_typed_answer_is_asked_for_and_read() -> None:
    asked = Prompt(messages=(Message(content=(TextContent(text="?"),)),), answer_schema={"type": "integer"})
    answer = await tiny("--say", "3").run(asked, Toolbox(LocalTools({})), max_steps=3)
    assert answer.structured == 3
    told = await tiny("--say", "{{said}}").run(asked, Toolbox(LocalTools({})), max_steps=3)
    assert "JSON Schema" in told.text


async def test_the_program_may_see_what_setup_gave_and_the_screen(env: Environment) -> None:
    @env.tool
    def computer(action: str) -> list[Any]:
        return [TextContent(text=f"{action} taken"), ImageContent(data="iVBORw0KGgo=")]

    @env.scenario()
    async def prepared():
        await env.call_tool("count_letter", text="strawberry", letter="r")
        yield "Go on."
        yield 1.0

    for settings, seen in (
        ({}, "Go on."),
        ({"append_setup_output": True}, "Go on.\n3"),
        ({"initial_screenshot": True}, "Go on.\nscreenshot taken\n[image/png: "),
    ):
        async with hud.eval(env("prepared")) as ctx:
            await ctx.drive(tiny("--say", "{{said}}", **settings))
            assert (ctx.answer or "").startswith(seen)
            assert ("[image/png" in (ctx.answer or "")) == ("initial_screenshot" in settings)


async def test_a_configuration_of_another_form_has_its_values(env: Environment) -> None:
    config = {
        "servers": [{"at": "{mcp_url}", "key": "{mcp_token}"}],
        "steps": "{max_steps}",
        "note": "{{x}} in {workdir}",
    }
    script = (
        "import os, sys; print(open(sys.argv[1]).read()); print(os.environ['HUD_TOOLS_URL'], os.getcwd(), sys.argv[2])"
    )
    command = [sys.executable, "-c", script, "{mcp_config}", "{home}"]
    driven = await drive(env, CliAgent.create(command=command, mcp_config=config), max_steps=4)
    written, told = driven.answer.text.splitlines()
    url, folder, home = told.split()
    assert json.loads(written) == {
        "servers": [{"at": url, "key": "***"}], "steps": 4, "note": f"{{x}} in {folder}",
    }  # fmt: skip
    assert url.startswith("http://127.0.0.1:")
    assert Path(home).parent == Path(folder).parent
    script = "import os, pathlib; print(pathlib.Path(os.environ['HOME'], '.agent', 'settings.json').read_text())"
    agent = CliAgent.create(
        command=[sys.executable, "-c", script], mcp_config={"a": 1}, mcp_config_file="{home}/.agent/settings.json"
    )
    assert (await drive(env, agent)).answer.text == '{"a": 1}'


async def test_it_runs_in_a_folder_of_its_own_or_in_the_one_that_is_named(env: Environment, tmp_path: Path) -> None:
    script = "import os; print(os.getcwd(), os.environ['HOME'])"
    agent = CliAgent.create(command=[sys.executable, "-c", script])
    first, second = [(await drive(env, agent)).answer.text for _ in range(2)]
    assert first != second
    assert not any(Path(folder).exists() for folder in [*first.split(), *second.split()])
    agent = CliAgent.create(command=[sys.executable, "-c", script], workdir=str(tmp_path))
    assert (await drive(env, agent)).answer.text.startswith(f"{tmp_path} ")


# --- how it ends ------------------------------------------------------------------------------------------------------


async def test_a_program_that_fails_is_an_error_with_what_it_said_last(env: Environment) -> None:
    agent = tiny("--exit", "7", "--to-stderr", f"{'x' * 5000} the network is down")
    with pytest.raises(AgentError, match=r"exited with code 7: x+ the network is down$") as caught:
        await drive(env, agent)
    assert len(str(caught.value)) < 2500
    job = await run(env("count"), agent, save=False)
    assert (job.rollouts[0].cause, job.rollouts[0].reward) == (Cause.AGENT, None)


async def test_a_program_that_is_killed_says_so(env: Environment) -> None:
    agent = CliAgent.create(command=[sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    with pytest.raises(AgentError, match=r"was ended by signal 9: \(no output\)"):
        await drive(env, agent)


async def test_what_it_prints_is_limited(env: Environment) -> None:
    with pytest.raises(AgentError, match="printed more than 100 bytes on stdout; raise max_output"):
        await drive(env, tiny("--say", "x" * 100, "--sleep", "600", max_output=100))
    assert (await drive(env, tiny("--say", "x" * 99, max_output=100))).answer.text == "x" * 99


async def test_long_lines_are_cut_in_the_trace_and_whole_in_the_answer(env: Environment) -> None:
    driven = await drive(env, tiny("--say", "x" * 100_000))
    assert len(driven.answer.text) == 100_000
    assert driven.lines("stdout") == ["x" * 2000 + "... (100000 bytes)"]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def left(file: Path) -> list[int]:
    """The program, and the one that it started, as far as they are still there."""
    with contextlib.suppress(ChildProcessError):
        assert os.waitpid(-1, os.WNOHANG)[0] == 0, "a zombie is left"
    return [pid for pid in map(int, file.read_text("utf-8").split()) if is_alive(pid)]


async def gone(file: Path) -> None:
    with anyio.fail_after(PATIENCE):
        while left(file):
            await anyio.sleep(0.02)


async def begun(file: Path, attempt: Callable[[float], Awaitable[T]]) -> T:
    """Give a program time to begin, more each time: how long that takes depends on what else the machine does."""
    for seconds in (1, 5, 25):
        outcome = await attempt(seconds)
        if file.exists() and file.read_text("utf-8"):
            return outcome
    pytest.fail("the program never began")


async def test_a_timeout_ends_the_program_and_all_that_it_has_started(env: Environment, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    driven = await begun(
        file, lambda seconds: drive(env, tiny("--leave-behind", str(file), "--sleep", "600", timeout=seconds))
    )
    assert driven.answer.stop_reason is StopReason.AGENT_TIMEOUT
    assert driven.rollout.reward == 0.0
    await gone(file)


async def test_cancellation_ends_them_too(env: Environment, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    agent = tiny("--leave-behind", str(file), "--call", "wait")
    job = await begun(file, lambda seconds: run(env("count"), agent, save=False, timeouts=Timeouts(agent=seconds)))
    assert job.rollouts[0].stop_reason is StopReason.AGENT_TIMEOUT
    assert (job.rollouts[0].usage.calls, job.rollouts[0].usage.cost) == (1, None)  # it ran, and nobody knows its price
    await gone(file)


@pytest.mark.parametrize("budget", [{"max_cost": 5}, {"rollout_max_tokens": 1000}])
async def test_a_program_that_never_tells_what_it_used_is_not_run_on_a_budget(
    env: Environment, tmp_path: Path, budget: dict[str, Any]
) -> None:
    file = tmp_path / "pids"
    job = await run(env("count"), tiny("--leave-behind", str(file), "--say", "3"), save=False, **budget)
    assert (job.rollouts[0].reward, job.rollouts[0].cause) == (None, Cause.AGENT)
    assert "does not tell what it uses, so a budget of dollars or tokens cannot be kept" in (
        job.rollouts[0].error or ""
    )
    assert not file.exists()
    timed = await run(env("count"), tiny("--say", "3"), save=False, rollout_max_time=PATIENCE)
    assert timed.reward == 1.0


async def test_a_program_that_tells_its_tokens_needs_the_price_of_its_model(env: Environment) -> None:
    with pytest.raises(ConfigError, match="price of model 'own-1' is not known"):
        await run(env("count"), CliAgent.create(preset="codex", model="own-1"), save=False, max_cost=1)
    assert CliAgent.create(preset="claude_code", model="own-1").called_models == ()


async def test_what_a_program_leaves_behind_ends_with_it(env: Environment, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    driven = await drive(env, tiny("--leave-behind", str(file), "--say", "3"))
    assert driven.rollout.reward == 1.0
    await gone(file)


async def test_a_program_without_enough_steps_ran_out_of_them(env: Environment) -> None:
    agent = tiny(*CALL, "--times", "5", "--max-steps", "{max_steps}", step_limit_codes=[53])
    driven = await drive(env, agent, max_steps=2)
    assert driven.answer.stop_reason is StopReason.MAX_STEPS
    assert len([event for event in driven.events if event.type == "tool_called"]) == 2


def test_on_another_event_loop_it_says_what_it_needs(env: Environment) -> None:
    with pytest.raises(ConfigError, match="needs asyncio's event loop"):
        anyio.run(drive, env, tiny("--say", "3"), backend="trio")


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_the_environment_is_small_and_secrets_stay_out_of_sight(
    env: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    monkeypatch.setenv("NOT_ITS_BUSINESS", "1")
    script = "import json, os, sys; print(json.dumps(dict(os.environ))); sys.stderr.write(f'using {os.environ!r}')"
    variables = {"MY_TOKEN": KEY[::-1], "A": "b"}
    command = [sys.executable, "-c", script.replace("{", "{{").replace("}", "}}")]
    agent = CliAgent.create(command=command, env=["SOME_API_KEY"], variables=variables)
    job = await run(env("count"), agent, directory=tmp_path / "run")
    given = json.loads(job.rollouts[0].answer.text)
    assert given["SOME_API_KEY"] == given["MY_TOKEN"] == given["HUD_TOOLS_TOKEN"] == "***"
    assert given["A"] == "b"
    assert "NOT_ITS_BUSINESS" not in given
    kept = b"".join(file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert b"using environ(" in kept
    for text in (kept.decode(), repr(agent), agent.fingerprint, repr(agent.config)):
        assert KEY not in text
        assert KEY[::-1] not in text


async def test_a_secret_in_an_error_is_hidden(env: Environment) -> None:
    agent = tiny("--exit", "1", "--to-stderr", f"refused {KEY}", variables={"MY_TOKEN": KEY})
    with pytest.raises(ConfigError, match="the command line holds the value of MY_TOKEN, and every process can"):
        await drive(env, agent)
    script = "import os, sys; sys.exit('refused ' + os.environ['MY_TOKEN'])"
    with pytest.raises(AgentError, match=r"refused \*\*\*$"):
        await drive(env, CliAgent.create(command=[sys.executable, "-c", script], variables={"MY_TOKEN": KEY}))


async def test_a_variable_that_is_not_set_is_named(env: Environment) -> None:
    with pytest.raises(ConfigError, match="setting 'env' names 'NO_SUCH_KEY', which is neither in the environment nor"):
        await drive(env, tiny("--say", "3", env="NO_SUCH_KEY"))


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "give a command to run, or a preset: claude_code, codex, gemini_cli, qwen_code"),
        ({"preset": "codx"}, "there is no preset 'codx'; did you mean 'codex'?"),
        ({"command": ""}, "setting 'command' must be words: a text, or a list of texts; it may not be empty"),
        ({"command": ["a", 3]}, "setting 'command' must be words"),
        (
            {"command": "a {promt}"},
            "command: unknown placeholder {promt}; did you mean 'prompt'?; there are {prompt}, ",
        ),
        (
            {"command": "a {mcp_token}"},
            "command: {mcp_token} would be shown to every process; read it from HUD_TOOLS_TOKEN",
        ),
        ({"command": "a", "answer": "xml"}, "setting 'answer' must be 'stdout', 'file' or 'json:PATH', got 'xml'"),
        ({"command": "a", "timeout": 0}, "setting 'timeout' must be more than 0, got 0"),
        ({"command": "a", "auto_respond": True}, "unknown setting 'auto_respond'"),
        ({"command": "a", "max_retries": 1}, "unknown setting 'max_retries'"),
        ({"command": "a", "comand": "b"}, "unknown setting 'comand'; did you mean 'command'?"),
        ({"command": "a", "mcp_config": {"x": ["{prmpt}"]}}, "mcp_config: unknown placeholder {prmpt}"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CliAgent.create(**settings)
    assert str(caught.value).startswith(problem)


async def test_a_program_or_folder_that_is_not_there_is_named(env: Environment, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no program 'no-such-program'; install it, or say with command="):
        await drive(env, CliAgent.create(command="no-such-program"))
    with pytest.raises(ConfigError, match=r"there is no folder '.*nowhere' to run "):
        await drive(env, tiny("--say", "3", workdir=str(tmp_path / "nowhere")))


def test_a_command_is_split_as_a_shell_would_and_groups_without_a_value_are_left_out() -> None:
    assert CliAgent.create(command="run 'a b' {model}").config.recipe.command == ("run", "a b", "{model}")
    command = CliAgent.create(command=["run", ["--model", "{model}"], ["-n", "{max_steps}"]]).config.recipe.command
    assert fill_command(command, {"model": None, "max_steps": 3}) == ["run", "-n", "3"]
    assert fill_command(command, {"model": "m", "max_steps": 3}) == ["run", "--model", "m", "-n", "3"]


def test_settings_come_before_the_presets_and_change_the_fingerprint() -> None:
    agent = CliAgent.create(preset="codex", answer="stdout", model="m")
    assert agent.config.recipe.answer == "stdout"
    assert agent.config.recipe.command == PRESETS["codex"].command
    prints = {
        agent.fingerprint,
        CliAgent.create(preset="codex", model="m").fingerprint,
        CliAgent.create(preset="codex").fingerprint,
    }
    assert len(prints) == 3
    assert CliAgent.create(preset="codex", timeout=5).fingerprint == CliAgent.create(preset="codex").fingerprint


# --- presets, with programs that print what the real ones are documented to print -------------------------------------

SAYS: dict[str, Any] = {
    "claude_code": {
        "type": "result", "subtype": "success", "is_error": False, "result": "3", "num_turns": 2,
        "total_cost_usd": 0.25, "usage": {
            "input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 30, "output_tokens": 5,
        },
    },
    "gemini_cli": {
        "response": "3",
        "stats": {"models": {
            "pro": {
                "api": {"totalRequests": 2},
                "tokens": {"prompt": 40, "candidates": 3, "cached": 30, "thoughts": 2, "total": 45},
            },
            "flash": {"tokens": {"prompt": 20, "candidates": 0, "cached": 0, "thoughts": 0, "total": 20}},
        }},
    },
    "qwen_code": [
        {"type": "system", "subtype": "init"},
        {
            "type": "result", "is_error": False, "result": "3", "num_turns": 2,
            "usage": {"input_tokens": 60, "output_tokens": 5, "cache_read_input_tokens": 30},
        },
    ],
    "codex": {"type": "turn.completed", "usage": {"input_tokens": 60, "cached_input_tokens": 30, "output_tokens": 5}},
}  # fmt: skip
FAKE = """#!{python}
import json, os, sys
with open({seen!r}, "w") as file:
    json.dump([sys.argv[1:], sys.stdin.read(), dict(os.environ)], file)
if "--output-last-message" in sys.argv:
    open(sys.argv[sys.argv.index("--output-last-message") + 1], "w").write("3")
    print(json.dumps({{"type": "thread.started"}}))
print(json.dumps({says!r}))
sys.exit({code})
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a program on the path that prints something, and notes what it was given."""
    seen = tmp_path / "seen.json"

    def make(preset: str, says: Any, code: int = 0) -> Path:
        program = tmp_path / PRESETS[preset].command[0]  # type: ignore[operator]
        program.write_text(FAKE.format(python=sys.executable, seen=str(seen), says=says, code=code), "utf-8")
        program.chmod(0o755)
        return seen

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return make


@pytest.mark.parametrize("preset", PRESETS)
async def test_each_preset_is_run_and_read(preset: str, env: Environment, fake: Any) -> None:
    seen = fake(preset, SAYS[preset])
    driven = await drive(env, CliAgent.create(preset=preset, model="some-model"), max_steps=4)
    assert (driven.rollout.reward, driven.answer.text) == (1.0, "3")
    usage = driven.rollout.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (60, 5, 30)
    assert usage.cost == (0.25 if preset == "claude_code" else None)
    arguments, prompt, given = json.loads(seen.read_text("utf-8"))
    assert prompt == "How many r are in strawberry?"
    assert arguments[arguments.index("--model") + 1] == "some-model"
    assert given["HUD_TOOLS_TOKEN"] not in " ".join(arguments)


async def test_a_preset_that_says_that_it_failed_has_failed(env: Environment, fake: Any) -> None:
    fake("claude_code", {**SAYS["claude_code"], "is_error": True, "result": "API Error: 401"})
    with pytest.raises(AgentError, match="API Error: 401"):
        await drive(env, CliAgent.create(preset="claude_code"))
    fake("claude_code", {"type": "result", "subtype": "error_max_turns", "is_error": True}, code=1)
    driven = await drive(env, CliAgent.create(preset="claude_code"))
    assert driven.answer.stop_reason is StopReason.MAX_STEPS
    fake("gemini_cli", {"error": {"type": "FatalTurnLimitedError", "code": 53}}, code=53)
    assert (await drive(env, CliAgent.create(preset="gemini_cli"))).answer.stop_reason is StopReason.MAX_STEPS


def test_printed_json_is_found() -> None:
    assert read_json('[{"a": 1}, {"a": 2}]') == {"a": 2}
    assert read_json('warning\n{"a": 1}\n{"a": 2}\nbye') == {"a": 2}
    assert read_json("3") is read_json("") is read_json("[]") is None
    assert find({"a": {"x": {"n": 1}, "y": {"n": 2}, "z": 3}}, "a.*.n") == [1, 2]
    assert find(None, "a.b") == []
