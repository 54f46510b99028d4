"""How requests travel when the user brings no client: connections, faults, TLS and proxies, over real sockets."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
import trustme
from http_peer import BODY, OK, ForwardProxy, Peer, Play, Threaded

from hud_core.environment.session import Toolbox
from hud_core.errors import ConfigError, ProviderError
from hud_core.model.content import Message, Prompt, TextContent
from hud_openai import OpenAIAgent, OpenAIChatAgent
from hud_openai.http import connection, pool

Run = Callable[[Threaded], Any]
Tools = Callable[..., Toolbox]
PROMPT = Prompt(messages=(Message(content=(TextContent(text="x"),)),))
HALF = OK[:-5]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start peers, which stop with the test."""
    with ExitStack() as running:
        yield running.enter_context


@pytest.fixture(autouse=True)
def _no_proxies_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "OPENAI_CUSTOM_HEADERS", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def agent_of(url: str, **options: Any) -> OpenAIChatAgent:
    return OpenAIChatAgent.create(
        **{"base_url": url, "model": "m", "max_retries": 0, "overload_patience": 0, **options}
    )


async def ask(agent: OpenAIChatAgent, text: str = "x") -> str:
    prompt = Prompt(messages=(Message(content=(TextContent(text=text),)),))
    return (await agent.run(prompt, Toolbox(NOTHING))).text


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


# --- connections ------------------------------------------------------------------------------------------------------


async def test_calls_at_once_have_a_connection_each_and_later_ones_share_them(run: Run) -> None:
    peer = run(Peer(Play(pause=0.05)))
    async with agent_of(peer.url()) as agent:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(ask, agent)
        assert sorted(peer.connections) == sorted([*range(100)] * 2)
    await until(lambda: not peer.open)


async def test_a_connection_that_was_closed_while_it_was_kept_is_replaced(run: Run) -> None:
    peer = run(Peer(Play(close=True)))
    async with agent_of(peer.url()) as agent:
        for _ in range(3):
            assert await ask(agent) == "ok"
            await until(lambda: not peer.open)
    assert peer.connections == [0, 1, 2]


async def test_a_connection_that_is_closed_when_it_is_used_again_is_replaced_once(run: Run) -> None:
    gone = Play(pieces=(), close=True)
    peer = run(Peer(Play(), gone, Play(), gone))
    async with agent_of(peer.url()) as agent:
        assert [await ask(agent), await ask(agent)] == ["ok", "ok"]
        assert peer.connections == [0, 0, 1]
        with pytest.raises(ProviderError, match="closed the connection instead of an answer") as raised:
            await ask(agent)
    assert raised.value.retry
    assert peer.connections == [0, 0, 1, 1, 2], "a new connection is not replaced"


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (Play((OK[:5],), close=True), "closed in the middle"),
        (Play((OK[:5], b""), pause=0.05, reset=True), "broke in the middle of it: .*reset"),
    ],
    ids=["closed", "reset"],
)
async def test_what_was_partly_answered_is_not_sent_again(run: Run, play: Play, said: str) -> None:
    peer = run(Peer(Play(), play))
    async with agent_of(peer.url()) as agent:
        await ask(agent)
        with pytest.raises(ProviderError, match=said) as raised:
            await ask(agent)
    assert raised.value.retry
    assert len(peer.heard) == 2


async def test_a_server_that_speaks_unasked_gets_no_further_request(run: Run) -> None:
    peer = run(Peer(Play((OK, OK), pause=0.02), Play()))
    async with agent_of(peer.url()) as agent:
        await ask(agent)
        await anyio.sleep(0.1)
        assert await ask(agent) == "ok"
    assert peer.connections == [0, 1]


async def test_a_call_that_is_cancelled_closes_its_connection(run: Run) -> None:
    peer = run(Peer(Play((HALF, OK[-5:]), pause=0.1), Play()))
    async with agent_of(peer.url()) as agent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, agent)
            await until(lambda: bool(peer.heard))
            await anyio.sleep(0.12)  # in the middle of the reply
            tasks.cancel_scope.cancel()
        assert await ask(agent) == "ok"
        await until(lambda: peer.open == {1})
    assert peer.connections == [0, 1]


async def test_connections_that_nobody_uses_are_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = run(Peer(Play(pause=0.02)))
    async with agent_of(peer.url()) as agent:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask, agent)
        assert len(peer.open) == 10
        monkeypatch.setattr(pool, "IDLE", 0.0)
        await ask(agent)
        await until(lambda: len(peer.open) == 1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_connections_end_with_their_event_loop(run: Run, backend: str) -> None:
    peer = run(Peer())
    agent = agent_of(peer.url())
    for number in (0, 1):
        assert anyio.run(ask, agent, backend=backend) == "ok"
        assert peer.connections[-1] == number
    anyio.run(until, lambda: not peer.open)


async def test_names_and_addresses(run: Run) -> None:
    hosts = ["127.0.0.1", "::1"] if socket.has_ipv6 and Path("/proc/net/if_inet6").read_text() else ["127.0.0.1"]
    for peer in [run(Peer(host=host)) for host in hosts]:
        async with agent_of(peer.url()) as agent:
            assert await ask(agent) == "ok"
        assert peer.heard[-1].headers["host"] == peer.url().split("/")[2]
    peer = run(Peer())
    async with agent_of(peer.url("localhost")) as agent:
        assert await ask(agent) == "ok"
    assert peer.heard[-1].headers["host"] == f"localhost:{peer.port}"


# --- replies ----------------------------------------------------------------------------------------------------------


def chunked(body: bytes) -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize(
    "play",
    [
        Play((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK), pause=0.01),
        Play([OK[place : place + 1] for place in range(len(OK))]),
        Play((b"HTTP/1.0 200 OK\r\n\r\n", BODY[:9], BODY[9:]), close=True),
        Play((b"HTTP/1.1 200 OK\r\n" + chunked(BODY),)),
        Play((b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" + chunked(gzip.compress(BODY)),)),
    ],
    ids=["interim", "bytes", "to the end", "chunked", "gzip"],
)
async def test_replies_of_every_form(run: Run, play: Play) -> None:
    peer = run(Peer(play))
    async with agent_of(peer.url()) as agent:
        assert [await ask(agent), await ask(agent)] == ["ok", "ok"]
    assert peer.connections == ([0, 1] if play.close else [0, 0])


def no(status: int, body: bytes, header: bytes = b"") -> Play:
    return Play((b"HTTP/1.1 %d No\r\n%bContent-Length: %d\r\n\r\n%b" % (status, header, len(body), body),))


@pytest.mark.parametrize(
    ("play", "said", "retry"),
    [
        (Play((HALF,), close=True), "cannot be read: the connection was closed in the middle", True),
        (Play((b"hello\r\n\r\n",)), "cannot be read: it is not HTTP", True),
        (no(200, b"x", b"Content-Encoding: br\r\n"), "'br', which nobody asked", True),
        (Play((b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,)), "longer than 262,144", False),
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


SLOW = {"silence": [b""] * 30, "half": [HALF, *[b""] * 30], "drops": [OK[place : place + 1] for place in range(50)]}


@pytest.mark.parametrize("how", SLOW)
async def test_a_reply_has_so_long_in_all(run: Run, how: str) -> None:
    peer = run(Peer(Play(SLOW[how], pause=0.02)))
    async with agent_of(peer.url(), timeout=0.3) as agent:
        with pytest.raises(ProviderError, match="did not answer in time; setting 'timeout'") as raised:
            await ask(agent)
        assert raised.value.retry
        await until(lambda: not peer.open)


async def test_who_refuses_a_long_request_is_heard(run: Run) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n" + chunked(b'{"error": {"message": "too long"}}')
    peer = run(Peer(Play((refusal, b""), pause=0.1, at_once=True, close=True)))
    async with agent_of(peer.url(), timeout=10) as agent:
        with pytest.raises(ProviderError, match="answered 413: too long"):
            await ask(agent, "long " * 2_000_000)
    assert len(peer.heard) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_that_nobody_listens_on(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with agent_of(f"http://{host}:{port}/v1") as agent:
        with pytest.raises(ProviderError, match=rf"cannot reach http://{host}:{port}/v1: \[Errno 111\]") as raised:
            await ask(agent)
    assert raised.value.retry


async def test_a_name_that_does_not_exist() -> None:
    async with agent_of("http://nobody.invalid/v1") as agent:
        with pytest.raises(ProviderError, match=r"cannot reach http://nobody.invalid/v1: \[Errno"):
            await ask(agent)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.mark.usefixtures("trusted")
async def test_tls_with_a_private_authority(run: Run, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []

    def trust() -> ssl.SSLContext:
        made.append(connection.trust())
        return made[-1]

    monkeypatch.setattr(pool, "trust", trust)
    long = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY) + 500_000, BODY + b" " * 500_000)
    peer = run(Peer(Play((long,), pause=0.05), tls=tls))
    async with agent_of(peer.url("localhost")) as agent:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(ask, agent, "long " * 100_000)
    assert len(made) == 1, "to make one takes longer than to shake hands"
    assert sorted(peer.connections) == sorted([*range(5)] * 2)
    assert {len(request.body) > 500_000 for request in peer.heard} == {True}


@pytest.mark.usefixtures("trusted")
async def test_a_kept_tls_connection_that_was_closed_is_replaced(run: Run, tls: ssl.SSLContext) -> None:
    peer = run(Peer(Play(close=True), tls=tls))
    async with agent_of(peer.url()) as agent:
        await ask(agent)
        await until(lambda: not peer.open)
        assert await ask(agent) == "ok"


async def test_a_certificate_that_nobody_trusts(run: Run, tls: ssl.SSLContext) -> None:
    peer = run(Peer(tls=tls))
    async with agent_of(peer.url()) as agent:
        with pytest.raises(ProviderError, match=r"cannot reach https://.*certificate.*SSL_CERT_FILE") as raised:
            await ask(agent)
    assert not raised.value.retry
    assert not peer.heard


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_of_somebody_else(run: Run, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("else.example").configure_cert(context)
    peer = run(Peer(tls=context))
    async with agent_of(peer.url("localhost")) as agent:
        with pytest.raises(ProviderError, match=r"cannot reach https://.*not valid for 'localhost'"):
            await ask(agent)
    assert not peer.heard


async def test_a_server_that_does_not_shake_hands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECTING", 0.3)
    peer = run(Peer())
    async with agent_of(f"https://127.0.0.1:{peer.port}/v1") as agent:
        with anyio.fail_after(10):
            with pytest.raises(ProviderError, match=r"cannot reach https://.*: no connection within 0.3 seconds"):
                await ask(agent)
        await until(lambda: not peer.open)


# --- proxies ----------------------------------------------------------------------------------------------------------


async def test_a_proxy_reads_plain_requests(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, proxy = run(Peer()), run(ForwardProxy("me:p@ss"))
    monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
    async with agent_of(peer.url(), api_key="sk-1") as agent:
        assert await ask(agent) == "ok"
    [told] = proxy.heard
    assert told.line == f"POST {peer.url()}/chat/completions HTTP/1.1"
    assert peer.heard[0].line == "POST /v1/chat/completions HTTP/1.1"
    assert "proxy-authorization" not in peer.heard[0].headers


@pytest.mark.usefixtures("trusted")
async def test_a_proxy_opens_tunnels(run: Run, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, proxy = run(Peer(tls=tls)), run(ForwardProxy("me:secret"))
    monkeypatch.setenv("ALL_PROXY", f"me:secret@127.0.0.1:{proxy.port}")
    async with agent_of(peer.url("localhost"), api_key="sk-1") as agent:
        assert [await ask(agent), await ask(agent)] == ["ok", "ok"]
    [told] = proxy.heard
    assert told.line == f"CONNECT localhost:{peer.port} HTTP/1.1"
    assert "authorization" not in told.headers, "the key is for the endpoint alone"
    assert peer.heard[0].headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("no_proxy", ["*", "127.0.0.1", "a.example, 127.0.0.0/8", "127.0.0.1:{port}"])
async def test_what_needs_no_proxy(run: Run, monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    peer = run(Peer())
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", no_proxy.format(port=peer.port))
    async with agent_of(peer.url()) as agent:
        assert await ask(agent) == "ok"


@pytest.mark.parametrize(
    ("how", "said", "retry"),
    [
        ({"user": "else:x"}, r"the proxy http://127.0.0.1:\d+ answered 407, asked for localhost:443", False),
        ({"refuse": 503}, "answered 503", True),
    ],
)
async def test_a_proxy_that_opens_none(
    run: Run, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], said: str, retry: bool
) -> None:
    proxy = run(ForwardProxy(**how))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:planted@127.0.0.1:{proxy.port}")
    async with agent_of("https://localhost/v1") as agent:
        with pytest.raises(ProviderError, match=said) as raised:
            await ask(agent)
    assert raised.value.retry == retry
    assert "planted" not in str(raised.value)


async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:planted@127.0.0.1:9")
    async with agent_of("https://localhost/v1") as agent:
        with pytest.raises(
            ProviderError, match=r"cannot reach https://localhost/v1 through the proxy http://127.0.0.1:9"
        ):
            await ask(agent)


async def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:planted@127.0.0.1:9")
    async with agent_of("https://localhost/v1") as agent:
        with pytest.raises(ConfigError, match=r"'socks5://127.0.0.1:9'.*'openai_client'") as raised:
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
