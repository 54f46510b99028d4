"""What the agents send, and what they make of replies, when the user brings no client: over real sockets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import pytest
from http_peer import Peer, Play, Threaded

from hud_core.environment.session import Toolbox
from hud_core.errors import ConfigError, ProviderError
from hud_core.model.content import Message, Prompt, TextContent
from hud_openai import OpenAIAgent, OpenAIChatAgent

pytestmark = pytest.mark.usefixtures("nothing_from_outside")
Run = Callable[[Threaded], Any]
PROMPT = Prompt(messages=(Message(content=(TextContent(text="x"),)),))


def agent_of(url: str, **options: Any) -> OpenAIChatAgent:
    return OpenAIChatAgent.create(
        **{"base_url": url, "model": "m", "max_retries": 0, "overload_patience": 0, **options}
    )


async def ask(agent: OpenAIChatAgent) -> str:
    return (await agent.run(PROMPT, Toolbox(NOTHING))).text


class Nothing:
    """An environment without tools."""

    async def list_tools(self) -> list[Any]:
        return []

    async def call_tool(self, call: Any) -> Any:
        raise AssertionError(call)


NOTHING = Nothing()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.01)


# --- replies ----------------------------------------------------------------------------------------------------------


def no(status: int, body: bytes, header: bytes = b"") -> Play:
    return Play((b"HTTP/1.1 %d No\r\n%bContent-Length: %d\r\n\r\n%b" % (status, header, len(body), body),))


@pytest.mark.parametrize(
    ("play", "said", "retry"),
    [
        (Play((b"hello\r\n\r\n",)), "cannot be read: it is not HTTP", True),
        (Play((), close=True), "closed the connection instead of an answer", True),
        (no(307, b"", b"Location: https://elsewhere/v1?key=sk-1\r\n"),
         r"answered 307: it has moved to https://elsewhere/v1; set base_url", False),
        (no(502, b"<html>" + b"bad " * 5000), r"answered 502: <html>bad .*\[...\]", True),
        (no(404, b'{"detail": "no such path"}'), "no such path", False),
        (no(400, b'{"error": "no such model"}'), "answered 400: no such model$", False),
        (no(400, b'{"object": "error", "message": "bad", "code": 7}'), "400: bad$", False),
        (no(403, b""), "answered 403: it said nothing", False),
    ],
)  # fmt: skip
async def test_replies_that_are_no_answer(run: Run, play: Play, said: str, retry: bool) -> None:
    async with agent_of(run(Peer(play)).url()) as agent:
        with pytest.raises(ProviderError, match=said) as raised:
            await ask(agent)
    assert raised.value.retry == retry
    assert "sk-1" not in str(raised.value)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_connections_end_with_their_event_loop(run: Run, backend: str) -> None:
    peer = run(Peer())
    agent = agent_of(peer.url())
    for number in (0, 1):
        assert anyio.run(ask, agent, backend=backend) == "ok"
        assert peer.connections[-1] == number
    anyio.run(until, lambda: not peer.open)


async def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:planted@127.0.0.1:9")
    async with agent_of("https://localhost/v1") as agent:
        with pytest.raises(ConfigError, match=r"'socks5://127.0.0.1:9'.*'model_client'") as raised:
            await ask(agent)
    assert "planted" not in str(raised.value)


# --- what is sent -----------------------------------------------------------------------------------------------------

OURS = {"user-agent", "accept-encoding", "connection", "content-length"}
KWARGS = {
    "extra_headers": {"X-A": "b", "Accept": "application/vnd.a+json"},
    "extra_query": {"q": "a b&c", "list": [1, 2], "nested": {"a": True}},
    "extra_body": {"lora": "é"},
}


@pytest.mark.parametrize("kind", [OpenAIChatAgent, OpenAIAgent])
async def test_the_request_is_the_one_that_the_sdk_would_send(
    endpoint: Callable[..., Any], stub: ModuleType, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openai

    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-B: c\nnonsense\nX-A: overridden")
    server = endpoint(stub.speak("ok"))
    options = {"base_url": server.url, "model": "m", "completion_kwargs": KWARGS}
    async with kind.create(**options, api_key="sk-1") as agent:
        await agent.run(PROMPT, Toolbox(NOTHING))
    async with openai.AsyncOpenAI(base_url=server.url, api_key="sk-1") as client:
        await kind.create(**options, openai_client=client).run(PROMPT, Toolbox(NOTHING))
    own, sdks = server.requests
    assert (own.path, own.body) == (sdks.path, sdks.body)
    sent, theirs = (
        {name: value for name, value in request.headers.items() if name not in OURS and "stainless" not in name}
        for request in (own, sdks)
    )
    assert sent == theirs
    assert own.headers["user-agent"].startswith("hud-openai/")


async def test_a_base_url_may_have_a_path_and_a_query(run: Run) -> None:
    peer = run(Peer())
    async with agent_of(f"http://127.0.0.1:{peer.port}/a b/v1/?api-version=2024-10") as agent:
        await ask(agent)
    assert peer.heard[0].line == "POST /a%20b/v1/chat/completions?api-version=2024-10 HTTP/1.1"


async def test_a_header_can_be_taken_away(run: Run) -> None:
    peer = run(Peer())
    headers = {"Authorization": None, "HOST": "elsewhere.example"}
    async with agent_of(peer.url(), completion_kwargs={"extra_headers": headers}) as agent:
        await ask(agent)
    assert "authorization" not in peer.heard[0].headers
    assert peer.heard[0].headers["host"] == "elsewhere.example"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"api_key": "sk-planted\n"}, "the API key must be one line of text"),
        ({"api_key": "sk-planted-\u2026"}, "the API key must be one line"),
        ({"completion_kwargs": {"extra_headers": {"x-a": "planted\r\nx-b: 1"}}}, "header 'x-a' must be one line"),
        (
            {"completion_kwargs": {"extra_headers": {"Authorization": "a\nb"}}},
            "header 'authorization' must be one line",
        ),
        ({"completion_kwargs": {"extra_headers": {"x-a": 5}}}, "header 'x-a' must be one line of text"),
        ({"completion_kwargs": {"extra_headers": {"x a": "b"}}}, "'x a' is no name of a header"),
        (
            {"completion_kwargs": {"extra_headers": {"Content-Length": "1"}}},
            "'content-length' cannot be set",
        ),
        ({"base_url": "http://"}, "'http://' is no address"),
        ({"base_url": "http://x:99999/v1?key=planted"}, "'http://x:99999/v1' is no address"),
    ],
)
def test_what_cannot_be_sent_is_said_when_the_agent_is_made(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        OpenAIChatAgent.create(**{"base_url": "http://x/v1", "model": "m", **options})
    assert "planted" not in str(raised.value)


def test_nothing_of_the_sdk_is_imported(run: Run) -> None:
    code = (
        "import sys, anyio\n"
        "from hud_core.model.content import Message, Prompt, TextContent\n"
        "from hud_core.environment.session import Toolbox\n"
        "from hud_core.environment.tools import LocalTools\n"
        "from hud_openai import OpenAIChatAgent\n"
        "agent = OpenAIChatAgent.create(base_url=sys.argv[1], model='m')\n"
        "prompt = Prompt(messages=(Message(content=(TextContent(text='x'),)),))\n"
        "print(anyio.run(agent.run, prompt, Toolbox(LocalTools({}))).text)\n"
        "print([name for name in ('openai', 'pydantic', 'httpx2', 'aiohttp') if name in sys.modules])\n"
    )
    peer = run(Peer())
    ran = subprocess.run([sys.executable, "-c", code, peer.url()], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["ok", "[]"]
