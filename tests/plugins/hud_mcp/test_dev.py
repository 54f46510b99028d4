"""``hud dev`` as people run it: in a process of its own, with the SDK's client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from free_ports import free_port
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from hud_mcp.commands.announce import Voice

pytestmark = pytest.mark.slow  # each starts servers as processes of their own

ENV = """
    from hud import Environment
    from tools.letters import version

    env = Environment("letters")

    @env.tool
    def get_version() -> int:
        print("called")
        return version()

    @env.scenario()
    async def count(text: str, letter: str = "r"):
        answer = yield f"How many {letter} in {text}?"
        yield answer == str(text.count(letter))
"""
LETTERS = """
    def version():
        return {}
"""
TASKS = """
    from env import count
    berry = count.task(text="strawberry")
    berry.slug = "berry"
"""
PATIENCE = 60
"""Seconds until something that should happen has not."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # what is tested runs in another process


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    save(tmp_path / "env.py", ENV)
    save(tmp_path / "tools" / "letters.py", LETTERS.format(0))
    save(tmp_path / "tasks.py", TASKS)
    return tmp_path


def save(path: Path, text: str) -> None:
    """Save a file as editors do: write another one, and put it in the old one's place."""
    other = path.with_suffix(".saving")
    other.write_text(textwrap.dedent(text), "utf-8")
    other.replace(path)


class Dev:
    """A running ``hud dev``."""

    def __init__(self, project: Path, *words: str, **variables: str) -> None:
        command = [sys.executable, "-m", "hud", "dev", *words, "--json"]
        env = environ() | variables
        self.process = subprocess.Popen(
            command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        first = self.next_event()
        assert first["event"] == "serving"
        self.url: str = first["url"]
        self.config: dict[str, Any] = first["config"]

    def next_event(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        event: dict[str, Any] = json.loads(line)
        return event

    async def happened(self, event: str) -> dict[str, Any]:
        with anyio.fail_after(PATIENCE):
            while (found := await anyio.to_thread.run_sync(self.next_event, abandon_on_cancel=True))["event"] != event:
                pass
        return found

    def stop(self, signal_number: int = signal.SIGINT) -> int:
        self.process.send_signal(signal_number)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


def environ() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("HUD_")}, "NO_COLOR": "1"}


@pytest.fixture
def dev(project: Path) -> Iterator[Callable[..., Dev]]:
    """Starts ``hud dev`` in the project."""
    started: list[Dev] = []

    def start(*words: str, **variables: str) -> Dev:
        started.append(Dev(project, *words, **variables))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def hud(project: Path, *words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hud", *words]
    env = environ() | variables
    return subprocess.run(
        command, cwd=project, env=env, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


async def version_of(client: Client) -> int:
    result = await client.call_tool("get_version", {})
    assert not result.is_error, result.content
    number: int = result.structured_content["result"]
    return number


# --- reloading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_saving_while_a_client_calls(dev: Callable[..., Dev], project: Path, mode: Any) -> None:
    server = dev("env:env", "-w", "env.py", "-w", "tools/", "--port", "0")
    seen = [0]
    async with Client(server.url, mode=mode) as client, anyio.create_task_group() as group:

        async def call() -> None:
            while True:
                seen.append(await version_of(client))

        group.start_soon(call)
        for number in range(1, 6):
            save(project / "tools" / "letters.py", LETTERS.format(number))
            assert (await server.happened("reloaded"))["modules"] == ["env", "tools.letters"]
            assert await version_of(client) == number
        group.cancel_scope.cancel()
    assert seen == sorted(seen)
    assert set(seen) - {0}


async def test_a_mistake_keeps_the_old_version_serving(dev: Callable[..., Dev], project: Path) -> None:
    server = dev("env", "--port", "0")  # watches what is imported
    async with Client(server.url) as client:
        save(project / "env.py", ENV + "\n    def broken(:\n")
        failed = await server.happened("failed")
        assert "SyntaxError" in failed["error"]
        assert failed["error"].endswith(f"env.py:{len(textwrap.dedent(ENV).splitlines()) + 2}: def broken(:")
        assert await version_of(client) == 0
        save(project / "tools" / "letters.py", LETTERS.format(5))
        save(project / "env.py", ENV)
        await server.happened("reloaded")
        assert await version_of(client) == 5


async def test_what_cannot_be_initialised_is_not_served(dev: Callable[..., Dev], project: Path) -> None:
    server = dev("env", "--port", "0")
    broken = "\n    @env.initialize\n    def start():\n        raise ValueError('no database')\n"
    async with Client(server.url) as client:
        save(project / "tools" / "letters.py", LETTERS.format(1))
        await server.happened("reloaded")
        save(project / "env.py", ENV + broken)
        failed = (await server.happened("failed"))["error"]
        assert "no database" in failed
        assert failed.endswith(f"env.py:{len(textwrap.dedent(ENV + broken).splitlines())})")
        assert await version_of(client) == 1
        save(project / "env.py", ENV)
        await server.happened("reloaded")
        assert await version_of(client) == 1


async def test_a_folder_that_comes_back(dev: Callable[..., Dev], project: Path) -> None:
    server = dev("env", "-w", "tools", "--port", "0")
    (project / "tools").rename(project / "away")
    (project / "tools").mkdir()
    async with Client(server.url) as client:
        with anyio.fail_after(PATIENCE):
            while await version_of(client) != 3:
                save(project / "tools" / "letters.py", LETTERS.format(3))
                await anyio.sleep(0.2)


async def test_clients_are_told_of_new_tools(dev: Callable[..., Dev], project: Path) -> None:
    server = dev("env", "--port", "0")
    told = anyio.Event()

    async def notice(message: object) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            told.set()

    async with Client(server.url, mode="legacy", message_handler=notice) as client:
        await client.list_tools()
        save(project / "env.py", ENV + "\n    @env.tool\n    def more() -> str:\n        return 'more'\n")
        with anyio.fail_after(PATIENCE):
            await told.wait()
        assert [tool.name for tool in (await client.list_tools()).tools] == ["get_version", "more"]


# --- starting and stopping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_stopped_cleanly_the_port_is_kept(dev: Callable[..., Dev], number: int) -> None:
    port = str(free_port())
    for _ in range(2):
        server = dev("env:env", "-p", port)
        assert server.url == f"http://localhost:{port}/mcp"
        async with Client(server.url) as client:
            assert await version_of(client) == 0
        with socket.create_connection(("127.0.0.1", int(port))):  # somebody is connected when it ends
            assert server.stop(number) == 0


async def test_a_tool_that_does_not_end_is_not_waited_for_twice(dev: Callable[..., Dev], project: Path) -> None:
    stuck = "\n    @env.tool\n    def stuck() -> int:\n        import time\n        time.sleep(600)\n        return 1\n"
    save(project / "env.py", ENV + stuck)
    server = dev("env", "-p", "0")
    with contextlib.suppress(MCPError, ExceptionGroup):  # what the client says of a server that goes is its own affair
        async with Client(server.url) as client, anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "stuck")
            await version_of(client)
            server.process.send_signal(signal.SIGINT)
    with anyio.fail_after(PATIENCE):
        while server.process.poll() is None:
            await anyio.sleep(0.2)
            server.process.send_signal(signal.SIGINT)
    assert server.process.returncode == 130


def test_a_port_in_use_is_not_exchanged(project: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = hud(project, "dev", "env:env", "-p", str(port))
    assert done.returncode == 2
    assert done.stderr == f"error: port {port} is in use; stop what listens there, or choose another with --port\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nix:env"], "no module 'nix'"),
        (["evn:env"], "did you mean 'env'?"),
        (["env:env", "--host", "192.0.2.1"], "cannot listen at '192.0.2.1', port 8765: "),
        (["env:env", "--stdio", "--inspector"], "--inspector does not go with --stdio"),
        (["env:env", "--stdio", "--interactive"], "--interactive does not go with --stdio"),
        (["env:evn"], "has no 'evn'; did you mean 'env'?"),
        (["env:get_version"], "is function, not an Environment"),
        (["tools/letters.py"], "has no Environment"),
        (["bery"], "did you mean 'berry'?"),
        (["env:env", "-w", "nix"], "--watch nix: no such file or folder"),
        (["env:env", "--stdio", "--json"], "--json does not go with --stdio"),
    ],
)
def test_what_cannot_be_served(project: Path, words: list[str], says: str) -> None:
    done = hud(project, "dev", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


def test_a_folder_for_docker_says_what_serves_it(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3.11-slim\n", "utf-8")
    done = hud(tmp_path, "dev", HUD_DISABLE_PLUGINS="hud-docker")
    assert done.returncode == 2
    assert "needs hud-docker (pip install hud-docker)" in done.stderr


def test_without_hud_docker_a_dockerfile_is_left_alone_and_that_is_said(project: Path) -> None:
    (project / "Dockerfile").write_text("FROM python:3.11-slim\n", "utf-8")
    done = hud(project, "dev", "env", "-p", "0", "--interactive", stdin="quit\n", HUD_DISABLE_PLUGINS="hud-docker")
    assert done.returncode == 0
    assert "the Dockerfile here is not used; what runs in a container needs hud-docker" in done.stderr


def test_a_container_that_cannot_be_is_refused(project: Path) -> None:
    done = hud(project, "dev", "--docker")
    assert done.returncode == 2
    assert "--docker: no Dockerfile in" in done.stderr
    (project / "Dockerfile").write_text("FROM python:3.11-slim\n", "utf-8")
    done = hud(project, "dev", "--docker", HUD_DISABLE_PLUGINS="hud-docker")
    assert done.returncode == 2
    assert "no backend 'docker' is installed; pip install hud-docker" in done.stderr


async def test_a_token_that_a_variable_has_is_not_printed_nor_given_to_programs(
    dev: Callable[..., Dev], project: Path
) -> None:
    save(project / "tools" / "letters.py", "import os\ndef version():\n    return 'HUD_DEV_TOKEN' in os.environ")
    server = dev("env:env", "-p", "0", HUD_DEV_TOKEN="s3cret")
    assert server.config["letters"]["headers"] == {"Authorization": "Bearer ${HUD_DEV_TOKEN}"}
    async with (
        httpx2.AsyncClient(headers={"Authorization": "Bearer s3cret"}) as http,
        Client(streamable_http_client(server.url, http_client=http)) as client,
    ):
        assert await version_of(client) == 0


def test_beyond_this_machine_there_is_a_token(dev: Callable[..., Dev], project: Path) -> None:
    command = [sys.executable, "-m", "hud", "dev", "env:env", "-p", "0", "--host", "0.0.0.0", "--json"]
    with subprocess.Popen(command, cwd=project, env=environ(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
    header = first["config"]["letters"]["headers"]["Authorization"]
    assert header.startswith("Bearer ")
    assert len(header) > 30


# --- stdio ------------------------------------------------------------------------------------------------------------


def test_stdio_carries_the_protocol_alone(project: Path) -> None:
    save(project / "env.py", ENV.replace("env = ", "print('imported')\n    env = "))
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_version", "arguments": {}}}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    messages = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        request,
    ]
    command = [sys.executable, "-m", "hud", "dev", "env:env", "--stdio"]
    with subprocess.Popen(
        command, cwd=project, env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(f"{json.dumps(message)}\n" for message in messages))
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        assert process.stdout.read() == ""
    assert answers[1]["result"]["structuredContent"] == {"result": 0}
    assert process.returncode == 0


async def test_stdio_reloads(project: Path) -> None:
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "hud", "dev", "env:env", "--stdio"], cwd=project, env=environ()
    )
    async with Client(parameters) as client:
        assert await version_of(client) == 0
        save(project / "tools" / "letters.py", LETTERS.format(7))
        with anyio.fail_after(PATIENCE):
            while await version_of(client) != 7:
                await anyio.sleep(0.05)


def test_stdio_stops_though_its_client_stays(project: Path) -> None:
    command = [sys.executable, "-m", "hud", "dev", "env:env", "--stdio"]
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    with subprocess.Popen(
        command, cwd=project, env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        process.stdin.write(f"{json.dumps(message)}\n".encode())
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_stdio_in_a_terminal_says_how_clients_start_it(project: Path) -> None:
    said = said_in_a_terminal(project, "dev", "env:env", "--stdio")
    (config,) = (line.partition(":")[2] for line in said if line.startswith("any client:"))
    server = json.loads(config)["letters"]
    async with Client(StdioServerParameters(**server, env=environ())) as client:  # from any folder
        assert await version_of(client) == 0


def said_in_a_terminal(project: Path, *words: str) -> list[str]:
    """What is said up to how to stop, and Ctrl-C does."""
    ours, its = os.openpty()
    command, lines = [sys.executable, "-m", "hud", *words], [""]
    with subprocess.Popen(command, cwd=project, env=environ(), stdin=its, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "Ctrl-C" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    os.close(its)
    return lines


# --- trying it -------------------------------------------------------------------------------------------------------


def test_tools_are_called_from_the_terminal(project: Path) -> None:
    done = hud(
        project, "dev", "env", "-p", "0", "--interactive", stdin='get_version\nget_version {"x": 1}\ntools\n?\nquit\n'
    )
    assert (done.returncode, done.stdout) == (0, "")
    after = done.stderr.partition("stop serving\n")[2]
    assert after.startswith("\ncalled\n0\n"), done.stderr
    assert "error: tool 'get_version': unknown parameter 'x'" in after
    assert "  get_version()\n" in after
    assert "what is '?'? you can write:" in after


NPX = """\
#!{python}
import json, os, sys, time
words = sys.argv[1:]
config = json.load(open(words[words.index("--config") + 1]))
print(json.dumps({{"words": words, "config": config, "pid": os.getpid()}}), flush=True)
time.sleep(600)
"""


def test_the_inspector_runs_beside_the_server(project: Path) -> None:
    npx = project / "bin" / "npx"
    npx.parent.mkdir()
    npx.write_text(NPX.format(python=sys.executable), "utf-8")
    npx.chmod(0o755)
    command = [sys.executable, "-m", "hud", "dev", "env", "-p", "0", "--inspector", "--token", "s3cret", "--json"]
    variables = {**environ(), "PATH": f"{npx.parent}:{os.environ['PATH']}"}
    with subprocess.Popen(
        command, cwd=project, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = json.loads(process.stdout.readline())["url"]
        told = json.loads(process.stderr.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    server = {"type": "streamable-http", "url": url, "headers": {"Authorization": "Bearer s3cret"}}
    assert told["config"] == {"mcpServers": {"letters": server}}
    assert "s3cret" not in " ".join(told["words"])
    with pytest.raises(ProcessLookupError):
        os.kill(told["pid"], 0)


def test_without_node_there_is_no_inspector(project: Path) -> None:
    command = [sys.executable, "-m", "hud", "dev", "env", "-p", "0", "--inspector"]
    variables = {**environ(), "PATH": str(project)}
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "--inspector needs npx" in done.stderr


FAILING = """
    import json
    from hud import Environment

    env = Environment("letters")

    def read(text):
        return json.loads(text)

    @env.tool
    def parse(text: str) -> dict:
        return read(text)
"""


@pytest.mark.parametrize("option", [[], ["-v"]])
def test_what_a_tool_raised_is_shown_with_the_users_lines_first(project: Path, option: list[str]) -> None:
    save(project / "env.py", FAILING)
    done = hud(project, "dev", "env", "-p", "0", "--interactive", *option, stdin='parse {"text": "x"}\nquit\n')
    assert done.returncode == 0
    after = done.stderr.partition("stop serving\n")[2]
    first, *lines = after.strip().splitlines()
    assert first.startswith("tool 'parse' failed: JSONDecodeError: Expecting value")
    if option:
        assert lines[0] == "  Traceback (most recent call last):"
        assert '    File "' in after
        assert "hud_core" in after
    else:
        assert lines[0] == "  env.py:8, in read: return json.loads(text)"
        assert lines[1] == "  env.py:12, in parse: return read(text)"
        assert "json/decoder.py:" in lines[2]
        assert lines[3].startswith("error: tool 'parse' failed: JSONDecodeError")  # what the client has
        assert "hud_core" not in after


async def test_what_a_tool_raised_is_an_event(dev: Callable[..., Dev], project: Path) -> None:
    save(project / "env.py", FAILING)
    running = dev("env:env", "-p", "0")
    async with Client(running.url) as client:
        await client.call_tool("parse", {"text": "x"})
    event = await running.happened("raised")
    assert event["what"] == "tool 'parse'"
    assert event["error"].startswith("JSONDecodeError: Expecting value")
    assert event["where"][0] == "env.py:8, in read: return json.loads(text)"


# --- a task -----------------------------------------------------------------------------------------------------------


def test_one_task_is_opened(project: Path) -> None:
    done = hud(project, "dev", "berry", stdin="tools\nget_version {}\nnix\nget_version {\ngrade 3\n")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "reward 1.000"
    assert "How many r in strawberry?" in done.stderr
    assert "unknown tool 'nix'; there are get_version" in done.stderr
    assert "the arguments of get_version are no JSON: " in done.stderr


def test_a_task_shows_what_a_tool_raised(project: Path) -> None:
    save(project / "tools" / "letters.py", "def version():\n    raise ValueError('none')\n")
    done = hud(project, "dev", "berry", stdin="get_version\nquit\n")
    assert "tool 'get_version' failed: ValueError: none\n  tools/letters.py:2, in version: raise" in done.stderr


def test_a_task_may_be_left_ungraded(project: Path) -> None:
    done = hud(project, "dev", "berry", stdin="prompt\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("not graded\n")


def test_a_task_stops_though_nothing_is_typed(project: Path) -> None:
    command = [sys.executable, "-m", "hud", "dev", "berry"]
    with subprocess.Popen(
        command, cwd=project, env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        while b"quit" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


def test_what_is_copied_into_a_container_is_not_called_reloaded(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be that it cannot be imported there."""
    voice = Voice(None, is_verbose=True)
    voice.reloaded(["env.py"], 0.4, is_copied=True)
    voice.reloaded(["env"], 0.1)
    said = capsys.readouterr().err
    assert said == "brought into the container in 400 ms: env.py\nreloaded in 100 ms: env\n"
