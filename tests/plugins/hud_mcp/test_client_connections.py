from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest
from free_ports import free_port
from mcp.server.mcpserver import MCPServer

from hud_core.errors import ArgumentError, BackendError, ConfigError, GraderError, SetupError
from hud_core.model.content import AudioContent, ImageContent, ResourceContent, TextContent
from hud_core.model.evaluation import Answer
from hud_core.model.events import LogLine
from hud_core.model.task import EnvRef
from hud_core.testing.processes import descendants, is_running
from hud_core.trace import Recorder, current_recorder
from hud_mcp.client.backend import MCPBackend

SERVER = Path(__file__).parent / "servers" / "everything.py"
PATIENCE = 60.0
# On trio, the SDK's HTTP client leaves a generator of its own behind, half-read; nothing else warns here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*(EventSource|ByteStream):pytest.PytestUnraisableExceptionWarning"),
]


def start_http(port: int) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(6000):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        assert process.poll() is None, "the server did not start"
        import time

        time.sleep(0.01)
    raise AssertionError("the server does not listen")


@pytest.fixture(scope="module")
def shared_url():
    port = free_port()
    process = start_http(port)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


def stdio(how: str = "stdio", **options) -> EnvRef:
    return EnvRef("everything", "mcp", {"command": sys.executable, "args": [str(SERVER), how], **options})


@pytest.fixture(params=["stdio", "http"])
def ref(request):
    if request.param == "stdio":
        return stdio()
    return EnvRef("everything", "mcp", {"url": request.getfixturevalue("shared_url")})


@pytest.fixture
async def backend():
    backend = MCPBackend()
    yield backend
    await backend.aclose()


@contextmanager
def recording():
    recorder = Recorder("r1")
    token = current_recorder.set(recorder)
    yield recorder
    current_recorder.reset(token)


def logged(recorder: Recorder) -> list[str]:
    return [event.text for event in recorder.pending if isinstance(event, LogLine)]


# --- tools ------------------------------------------------------------------------------------------------------------


async def test_tools_are_listed_with_their_schema(backend, ref):
    async with backend.open(ref) as session:
        tools = {tool.name: tool for tool in await session.list_tools()}
    assert tools["add"].description == "Add two numbers."
    assert set(tools["add"].input_schema["properties"]) == {"a", "b"}


async def test_results_keep_every_kind_of_content(backend, ref):
    async with backend.open(ref) as session:
        result = await session.call_tool("blocks")
    text, image, sound, document, link = result.content
    assert text == TextContent(text="some text")
    assert isinstance(image, ImageContent)
    assert image.mime_type == "image/png"
    assert sound == AudioContent(data="YmVlcA==", mimeType="audio/wav")
    assert document == ResourceContent(uri="note://1", text="a note", mimeType="text/plain")
    assert link == ResourceContent(uri="note://2")
    assert result.structured_content == {"n": 5}
    assert not result.is_error


@pytest.mark.parametrize(
    ("name", "arguments", "says"), [("boom", {}, "overboard"), ("nope", {}, "nope"), ("add", {"a": "x", "b": 1}, "a")]
)
async def test_what_goes_wrong_in_a_tool_is_a_result(backend, ref, name, arguments, says):
    async with backend.open(ref) as session:
        result = await session.call_tool(name, **arguments)
        assert (await session.call_tool("add", a=1, b=2)).structured_content == {"result": 3}
    assert result.is_error
    assert says in result.text


async def test_arguments_that_are_no_json_are_a_result_too(backend, ref):
    async with backend.open(ref) as session:
        result = await session.call_tool("add", a=object(), b=1)
    assert result.is_error
    assert "add" in result.text


async def test_a_huge_result_arrives(backend, ref):
    async with backend.open(ref) as session:
        assert len((await session.call_tool("big", size=8_000_000)).text) == 8_000_000


async def test_calls_run_at_once(backend, ref):
    async with backend.open(ref) as session, anyio.create_task_group() as group:
        sums: list[int] = []

        async def add(number: int) -> None:
            sums.append(int((await session.call_tool("add", a=number, b=0)).text))

        for number in range(20):
            group.start_soon(add, number)
    assert sorted(sums) == list(range(20))


async def test_a_changed_list_of_tools_is_noticed(backend, ref):
    async with backend.open(ref) as session:
        before = session.tools.revision
        with anyio.fail_after(PATIENCE):
            while session.tools.revision == before:  # the client may not listen yet
                await session.call_tool("grow")
                await anyio.sleep(0.01)
        assert "grown" in [tool.name for tool in await session.list_tools()]


async def test_progress_is_logged(backend, ref):
    with recording() as recorder:
        async with backend.open(ref) as session:
            await session.call_tool("steps", number=2)
    assert [line for line in logged(recorder) if "step" in line] == ["steps: 1/2 step 1", "steps: 2/2 step 2"]


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_headers_and_tokens_are_sent(backend, shared_url, monkeypatch):
    monkeypatch.setenv("MY_KEY", "k1")
    options = {"url": shared_url, "headers": {"X-Key": "${MY_KEY}"}, "token": "t1"}
    async with backend.open(EnvRef("everything", "mcp", options)) as session:
        assert (await session.call_tool("header", name="x-key")).text == "k1"
        assert (await session.call_tool("header", name="authorization")).text == "Bearer t1"


async def test_a_server_of_this_machine_is_reached_without_the_proxy(backend, shared_url, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with backend.open(EnvRef("server", "mcp", {"url": shared_url})) as session:
        assert await session.list_tools()


async def test_variables_are_passed_and_others_are_not(backend, monkeypatch):
    monkeypatch.setenv("SECRET_OF_MINE", "s")
    monkeypatch.setenv("MY_KEY", "k1")
    async with backend.open(stdio(env={"GIVEN": "${MY_KEY}", "OTHER": "${NOT_SET:fallback}"})) as session:
        given = [(await session.call_tool("variable", name=n)).text for n in ("GIVEN", "OTHER", "SECRET_OF_MINE")]
    assert given == ["k1", "fallback", "unset"]


# --- servers that are not there ---------------------------------------------------------------------------------------


async def test_a_closed_port_says_which_server_and_what_was_tried(backend):
    port = free_port()
    with pytest.raises(BackendError) as caught:
        async with backend.open(EnvRef("far", "mcp", {"url": f"http://127.0.0.1:{port}/mcp"})):
            pass
    assert "'far'" in str(caught.value)
    assert f"http://127.0.0.1:{port}/mcp" in str(caught.value)
    assert "streamable HTTP" in str(caught.value)


async def test_a_server_that_is_no_mcp_server_says_what_it_answered(backend, shared_url):
    with pytest.raises(BackendError, match=r"404 Not Found.*/mcp"):
        async with backend.open(EnvRef("far", "mcp", {"url": shared_url.replace("/mcp", "/elsewhere")})):
            pass


async def test_a_server_that_never_answers_runs_into_connect_timeout(backend):
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mcp"
        with pytest.raises(BackendError, match=r"no answer to the handshake within 0.3 s \(connect_timeout\)"):
            async with backend.open(EnvRef("far", "mcp", {"url": url, "connect_timeout": 0.3})):
                pass


async def test_a_command_that_does_not_exist_is_a_mistake(backend):
    with pytest.raises(ConfigError, match="cannot start 'no-such-command'"):
        async with backend.open(EnvRef("far", "mcp", {"command": "no-such-command"})):
            pass


async def test_a_command_that_fails_shows_its_exit_code_and_stderr(backend):
    with recording() as recorder, pytest.raises(BackendError) as caught:
        async with backend.open(stdio("broken")):
            pass
    assert "exited with code 3" in str(caught.value)
    assert "cannot find the thing" in str(caught.value)
    assert "cannot find the thing" in logged(recorder)


async def test_a_deaf_command_is_ended(backend):
    before = descendants()
    with pytest.raises(BackendError, match="connect_timeout"):
        async with backend.open(stdio("deaf", connect_timeout=2)):
            pass
    assert not {process for process in descendants() - before if is_running(process)}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "one of the options url, command"),
        ({"url": "http://x", "command": "y"}, "one of the options"),
        ({"url": "x"}, "http://"),
        ({"url": "http://x", "headrs": {}}, "did you mean 'headers'"),
        ({"url": "http://x", "headers": {"A": "${NOT_SET_AT_ALL}"}}, "NOT_SET_AT_ALL"),
        ({"url": "http://x", "timeout": 0}, "timeout"),
        ({"url": "http://x", "headers": {"A": 1}}, "headers must be a dict of text"),
        ({"command": "x", "args": "y"}, "args must be a list"),
        ({"object": 3}, "no server"),
    ],
)
async def test_options_that_cannot_be_right_say_so(backend, options, says):
    with pytest.raises(ConfigError, match=says):
        async with backend.open(EnvRef("far", "mcp", options)):
            pass


# --- stdio ------------------------------------------------------------------------------------------------------------


async def test_noise_on_stdout_is_logged_and_does_no_harm(backend):
    with recording() as recorder:
        async with backend.open(stdio("noisy")) as session:
            assert (await session.call_tool("add", a=1, b=2)).text == "3"
    assert any("this is no message" in line for line in logged(recorder))


async def test_a_slow_start_is_waited_for(backend):
    async with backend.open(stdio("slow")) as session:
        assert (await session.call_tool("add", a=1, b=2)).text == "3"


async def test_processes_end_with_the_session(backend):
    async with backend.open(stdio()) as session:
        server = int((await session.call_tool("process")).text)
        child = int((await session.call_tool("child")).text)
        assert Path(f"/proc/{server}").exists()
    with anyio.fail_after(PATIENCE):
        while any(_lives(process) for process in (server, child)):
            await anyio.sleep(0.01)
    assert server not in _zombies()


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _zombies() -> set[int]:
    """Children of this process that ended and were not waited for."""
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,stat="], capture_output=True, text=True, check=False
    )
    return {int(line.split()[0]) for line in listed.stdout.splitlines() if "Z" in line.split()[1]}


# --- losing the server ------------------------------------------------------------------------------------------------


async def test_a_process_that_dies_in_a_call_is_a_backend_error_with_its_last_words(backend):
    with pytest.raises(BackendError) as caught:
        async with backend.open(stdio()) as session:
            await session.call_tool("die")
    assert "ended by signal 9" in str(caught.value)
    assert "dying now" in str(caught.value)


async def test_an_http_server_that_dies_in_a_call_is_a_backend_error(backend):
    port = free_port()
    process = start_http(port)
    try:
        async with backend.open(EnvRef("far", "mcp", {"url": f"http://127.0.0.1:{port}/mcp"})) as session:
            with pytest.raises(BackendError, match="'far'"):
                await session.call_tool("die")
            with pytest.raises(BackendError, match="'far'"):
                await session.call_tool("add", a=1, b=2)
    finally:
        process.kill()
        process.wait()


async def test_a_list_is_asked_for_again_when_the_server_is_back(backend):
    port = free_port()
    process = start_http(port)
    try:
        async with backend.open(EnvRef("far", "mcp", {"url": f"http://127.0.0.1:{port}/mcp"})) as session:
            with pytest.raises(BackendError):
                await session.call_tool("die")
            process.wait()
            process = start_http(port)
            assert "add" in [tool.name for tool in await session.list_tools()]
            assert (await session.call_tool("add", a=1, b=2)).text == "3"
    finally:
        process.kill()
        process.wait()


async def test_cancelling_a_call_leaves_nothing_behind(backend, ref, tmp_path):
    before = descendants()
    mark = tmp_path / "mark"
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:

            async def rollout() -> None:
                async with backend.open(ref) as session:
                    await session.call_tool("sleep", mark=str(mark))

            group.start_soon(rollout)
            while not mark.exists():
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert mark.read_text() == "began\n"
    assert not {process for process in descendants() - before if is_running(process)}


async def test_cancelling_while_it_opens_leaves_nothing_behind(backend):
    before = descendants()
    with anyio.move_on_after(0.5) as limit:
        async with backend.open(stdio("slow")):
            pytest.fail("it opened before it was cancelled")
    assert limit.cancelled_caught
    assert not {process for process in descendants() - before if is_running(process)}


async def test_one_cancelled_call_leaves_the_session_usable(backend, ref, tmp_path):
    mark = tmp_path / "mark"
    async with backend.open(ref) as session:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                await session.call_tool("sleep", mark=str(mark))

            group.start_soon(call)
            with anyio.fail_after(PATIENCE):
                while not mark.exists():
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert (await session.call_tool("add", a=1, b=2)).text == "3"


async def test_an_exception_inside_the_session_comes_out_as_it_is(backend, ref):
    mine = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with backend.open(ref):
            raise mine
    assert caught.value is mine


# --- scenarios of servers without episodes ----------------------------------------------------------------------------


async def test_a_scenario_is_a_prompt_a_submit_and_a_resource(backend, ref):
    async with backend.open(ref) as session:
        prompt = await session.setup("count", {"word": "strawberry", "number": [1, 2]})
        evaluation = await session.grade(Answer(text="3"))
    assert [message.role for message in prompt.messages] == ["user", "assistant", "user"]
    assert prompt.messages[0].text == "'strawberry' '[1, 2]'"
    text, image = prompt.messages[2].content
    assert text == TextContent(text="Here.")
    assert isinstance(image, ImageContent)
    assert evaluation.reward == 1.0
    assert evaluation.info == {"answer": "3", "word": "strawberry", "scenario": "count"}


async def test_an_answer_that_is_data_travels_as_json(backend):
    async with backend.open(stdio()) as session:
        await session.setup("count", {"word": "w"})
        evaluation = await session.grade(Answer(text="see above", structured={"x": [1, "ä"]}))
    assert evaluation.info["answer"] == '{"x": [1, "ä"]}'


async def test_the_scenario_is_found_whatever_the_server_calls_the_environment(backend):
    ref = EnvRef("mine", "mcp", stdio().options)
    async with backend.open(ref) as session:
        await session.setup("count", {"word": "w"})
        assert (await session.grade(Answer(text="3"))).reward == 1.0


async def test_an_unknown_scenario_says_which_there_are(backend):
    async with backend.open(stdio()) as session:
        with pytest.raises(SetupError, match=re.escape("no scenario 'cuont'") + ".*everything:count"):
            await session.setup("cuont", {})


async def test_a_setup_that_fails_is_a_setup_error_and_is_not_tried_again(backend):
    async with backend.open(stdio()) as session:
        with pytest.raises(SetupError, match="'everything:count' failed"):
            await session.setup("count", {"word": "fail"})


async def test_a_grade_that_failed_is_no_score(backend):
    async with backend.open(stdio()) as session:
        await session.setup("count", {"word": "w"})
        with pytest.raises(GraderError, match="cannot grade"):
            await session.grade(Answer(text="fail"))


async def test_grading_before_setup_is_refused(backend):
    async with backend.open(stdio()) as session:
        with pytest.raises(GraderError, match="no scenario was set up"):
            await session.grade(Answer(text="3"))


async def test_arguments_that_are_no_json_are_refused(backend):
    async with backend.open(stdio()) as session:
        with pytest.raises(ArgumentError, match="not JSON data"):
            await session.setup("count", {"word": object()})


# --- objects of this process ------------------------------------------------------------------------------------------


async def test_a_server_object_is_connected_to_in_this_process(backend):
    server = MCPServer("here")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    async with backend.open(EnvRef("here", "mcp", {"object": server})) as session:
        assert [tool.name for tool in await session.list_tools()] == ["add"]
        assert (await session.call_tool("add", a=1, b=2)).structured_content == {"result": 3}


def test_the_shared_server_is_an_mcp_server(shared_url):
    request = urllib.request.Request(shared_url, data=b"{}", headers={"content-type": "application/json"})
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request)
