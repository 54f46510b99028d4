"""How requests travel, by a pool and by a client of httpx2: connections, faults, TLS and proxies, over real sockets."""

from __future__ import annotations

import gzip
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import anyio
import pytest
import trustme
from http_peer import BODY, OK, ForwardProxy, Peer, Play, Threaded

from hud_core.errors import ConfigError, ProviderError
from hud_http import connection, pool
from hud_http.pool import Pool
from hud_http.route import read_url
from hud_http.transport import http_client

pytestmark = pytest.mark.usefixtures("nothing_from_outside")
Run = Callable[[Threaded], Any]
Clients = Callable[..., Any]
HALF = OK[:-5]


class OfPool:
    """Asks an endpoint. A context manager."""

    def __init__(self, url: str, timeout: float = 60, *, renews: bool = False) -> None:
        origin, self._path, _ = read_url(url)
        self._headers = f"host: {origin.authority}\r\nauthorization: Bearer sk-1\r\n".encode()
        self._pool = Pool(origin, where=f"{origin.scheme}://{origin.authority}", timeout=timeout, renews=renews)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def ask(self, text: str = "x") -> bytes:
        return (await self._pool.send("POST", f"{self._path}/ask", self._headers, text.encode())).body


class OfTransport:
    """Asks it by a client of httpx2."""

    def __init__(self, url: str, timeout: float = 60, *, renews: bool = False) -> None:
        self._url = f"{url}/ask"
        self._client = http_client(timeout=timeout, renews=renews)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, text: str = "x") -> bytes:
        headers = {"authorization": "Bearer sk-1"}
        return (await self._client.post(self._url, content=text, headers=headers)).content


@pytest.fixture(params=[OfPool, OfTransport])
def client_of(request: pytest.FixtureRequest) -> Callable[..., OfPool | OfTransport]:
    """Make who asks an endpoint."""
    return request.param


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.01)


# --- connections ------------------------------------------------------------------------------------------------------


async def test_calls_at_once_have_a_connection_each_and_later_ones_share_them(run: Run, client_of: Clients) -> None:
    peer = run(Peer(Play(together=100)))
    async with client_of(peer.url()) as client:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(client.ask)
        assert sorted(peer.connections) == sorted([*range(100)] * 2)
    await until(lambda: not peer.open)


async def test_a_connection_that_was_closed_while_it_was_kept_is_replaced(run: Run, client_of: Clients) -> None:
    peer = run(Peer(Play(close=True)))
    async with client_of(peer.url()) as client:
        for _ in range(3):
            assert await client.ask() == BODY
            await until(lambda: not peer.open)
    assert peer.connections == [0, 1, 2]


async def test_a_connection_that_is_closed_when_it_is_used_again_is_replaced_once(run: Run, client_of: Clients) -> None:
    gone = Play(pieces=(), close=True)
    peer = run(Peer(Play(), gone, Play(), gone))
    async with client_of(peer.url()) as client:
        assert [await client.ask(), await client.ask()] == [BODY, BODY]
        assert peer.connections == [0, 0, 1]
        with pytest.raises(ProviderError, match="closed the connection instead of an answer") as raised:
            await client.ask()
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
async def test_what_was_partly_answered_is_not_sent_again(run: Run, play: Play, said: str, client_of: Clients) -> None:
    peer = run(Peer(Play(), play))
    async with client_of(peer.url()) as client:
        await client.ask()
        with pytest.raises(ProviderError, match=said) as raised:
            await client.ask()
    assert raised.value.retry
    assert len(peer.heard) == 2


async def test_a_server_that_speaks_unasked_gets_no_further_request(run: Run, client_of: Clients) -> None:
    peer = run(Peer(Play((OK, OK), pause=0.02), Play()))
    async with client_of(peer.url()) as client:
        await client.ask()
        await until(lambda: peer.played == 1)
        assert await client.ask() == BODY
    assert peer.connections == [0, 1]


async def test_a_call_that_is_cancelled_closes_its_connection(run: Run, client_of: Clients) -> None:
    peer = run(Peer(Play((HALF,)), Play()))
    async with client_of(peer.url()) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.ask)
            await until(lambda: peer.played == 1)  # in the middle of the reply
            tasks.cancel_scope.cancel()
        assert await client.ask() == BODY
        await until(lambda: peer.open == {1})
    assert peer.connections == [0, 1]


async def test_connections_that_nobody_uses_are_closed(
    run: Run, monkeypatch: pytest.MonkeyPatch, client_of: Clients
) -> None:
    peer = run(Peer(*[Play(together=10)] * 10, Play()))
    async with client_of(peer.url()) as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(client.ask)
        assert len(peer.open) == 10
        monkeypatch.setattr(pool, "IDLE", 0.0)
        await client.ask()
        await until(lambda: len(peer.open) == 1)


async def test_names_and_addresses(run: Run, client_of: Clients) -> None:
    hosts = ["127.0.0.1", "::1"] if socket.has_ipv6 and Path("/proc/net/if_inet6").read_text() else ["127.0.0.1"]
    for peer in [run(Peer(host=host)) for host in hosts]:
        async with client_of(peer.url()) as client:
            assert await client.ask() == BODY
        assert peer.heard[-1].headers["host"] == peer.url().split("/")[2]
    peer = run(Peer())
    async with client_of(peer.url("localhost")) as client:
        assert await client.ask() == BODY
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
async def test_replies_of_every_form(run: Run, play: Play, client_of: Clients) -> None:
    peer = run(Peer(play))
    async with client_of(peer.url()) as client:
        assert [await client.ask(), await client.ask()] == [BODY, BODY]
    assert peer.connections == ([0, 1] if play.close else [0, 0])


BROTLI = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    ("play", "said", "retry"),
    [
        (Play((HALF,), close=True), "cannot be read: the connection was closed in the middle", True),
        (Play((b"hello\r\n\r\n",)), "cannot be read: it is not HTTP", True),
        (Play((BROTLI,)), "'br', which nobody asked", True),
        (Play((b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,)), "longer than 262,144", False),
        (Play((), close=True), "closed the connection instead of an answer", True),
    ],
    ids=["half", "no HTTP", "encoding", "head", "nothing"],
)
async def test_what_is_no_reply(run: Run, play: Play, said: str, retry: bool, client_of: Clients) -> None:
    async with client_of(run(Peer(play)).url()) as client:
        with pytest.raises(ProviderError, match=said) as raised:
            await client.ask()
    assert raised.value.retry == retry


SLOW = {"silence": [b""] * 30, "half": [HALF, *[b""] * 30], "drops": [OK[place : place + 1] for place in range(50)]}


@pytest.mark.parametrize("how", SLOW)
async def test_a_reply_has_so_long_in_all(run: Run, how: str, client_of: Clients) -> None:
    peer = run(Peer(Play(SLOW[how], pause=0.02)))
    async with client_of(peer.url(), timeout=0.3) as client:
        with pytest.raises(ProviderError, match="did not answer in time; setting 'timeout'") as raised:
            await client.ask()
        assert raised.value.retry
        await until(lambda: not peer.open)


async def test_who_refuses_a_long_request_is_heard(run: Run, client_of: Clients) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n" + chunked(b"too long")
    peer = run(Peer(Play((refusal, b""), pause=0.1, at_once=True, close=True)))
    async with client_of(peer.url()) as client:
        assert await client.ask("long " * 2_000_000) == b"too long"
    assert len(peer.heard) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_that_nobody_listens_on(host: str, client_of: Clients) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with client_of(f"http://{host}:{port}/v1") as client:
        with pytest.raises(ProviderError, match=rf"cannot reach http://{host}:{port}: \[Errno 111\]") as raised:
            await client.ask()
    assert raised.value.retry


async def test_a_name_that_does_not_exist(client_of: Clients) -> None:
    async with client_of("http://nobody.invalid/v1") as client:
        with pytest.raises(ProviderError, match=r"cannot reach http://nobody.invalid: \[Errno"):
            await client.ask()


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
def trusted(nothing_from_outside: None, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.mark.usefixtures("trusted")
async def test_tls_with_a_private_authority(
    run: Run, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, client_of: Clients
) -> None:
    made: list[ssl.SSLContext] = []

    def trust() -> ssl.SSLContext:
        made.append(connection.trust())
        return made[-1]

    monkeypatch.setattr(pool, "trust", trust)
    long = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY) + 500_000, BODY + b" " * 500_000)
    peer = run(Peer(Play((long,), together=5), tls=tls))
    async with client_of(peer.url("localhost")) as client:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(client.ask, "long " * 100_000)
    assert len(made) == 1, "to make one takes longer than to shake hands"
    assert sorted(peer.connections) == sorted([*range(5)] * 2)
    assert {len(request.body) >= 500_000 for request in peer.heard} == {True}


@pytest.mark.usefixtures("trusted")
async def test_a_kept_tls_connection_that_was_closed_is_replaced(
    run: Run, tls: ssl.SSLContext, client_of: Clients
) -> None:
    peer = run(Peer(Play(close=True), tls=tls))
    async with client_of(peer.url()) as client:
        await client.ask()
        await until(lambda: not peer.open)
        assert await client.ask() == BODY


async def test_a_certificate_that_nobody_trusts(run: Run, tls: ssl.SSLContext, client_of: Clients) -> None:
    peer = run(Peer(tls=tls))
    async with client_of(peer.url()) as client:
        with pytest.raises(ProviderError, match=r"cannot reach https://.*certificate.*SSL_CERT_FILE") as raised:
            await client.ask()
    assert not raised.value.retry
    assert not peer.heard


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_of_somebody_else(run: Run, authority: trustme.CA, client_of: Clients) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("else.example").configure_cert(context)
    peer = run(Peer(tls=context))
    async with client_of(peer.url("localhost")) as client:
        with pytest.raises(ProviderError, match=r"cannot reach https://.*not valid for 'localhost'"):
            await client.ask()
    assert not peer.heard


async def test_a_server_that_does_not_shake_hands(
    run: Run, monkeypatch: pytest.MonkeyPatch, client_of: Clients
) -> None:
    monkeypatch.setattr(pool, "CONNECTING", 0.3)
    peer = run(Peer())
    async with client_of(f"https://127.0.0.1:{peer.port}/v1") as client:
        with anyio.fail_after(60):
            with pytest.raises(ProviderError, match=r"cannot reach https://.*: no connection within 0.3 seconds"):
                await client.ask()
        await until(lambda: not peer.open)


# --- proxies ----------------------------------------------------------------------------------------------------------


async def test_a_proxy_reads_plain_requests(run: Run, monkeypatch: pytest.MonkeyPatch, client_of: Clients) -> None:
    peer, proxy = run(Peer()), run(ForwardProxy("me:p@ss"))
    monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
    async with client_of(peer.url()) as client:
        assert await client.ask() == BODY
    [told] = proxy.heard
    assert told.line == f"POST {peer.url()}/ask HTTP/1.1"
    assert peer.heard[0].line == "POST /v1/ask HTTP/1.1"
    assert "proxy-authorization" not in peer.heard[0].headers


@pytest.mark.usefixtures("trusted")
async def test_a_proxy_opens_tunnels(
    run: Run, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, client_of: Clients
) -> None:
    peer, proxy = run(Peer(tls=tls)), run(ForwardProxy("me:secret"))
    monkeypatch.setenv("ALL_PROXY", f"me:secret@127.0.0.1:{proxy.port}")
    async with client_of(peer.url("localhost")) as client:
        assert [await client.ask(), await client.ask()] == [BODY, BODY]
    [told] = proxy.heard
    assert told.line == f"CONNECT localhost:{peer.port} HTTP/1.1"
    assert "authorization" not in told.headers, "the key is for the endpoint alone"
    assert peer.heard[0].headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("no_proxy", ["*", "127.0.0.1", "a.example, 127.0.0.0/8", "127.0.0.1:{port}"])
async def test_what_needs_no_proxy(
    run: Run, monkeypatch: pytest.MonkeyPatch, no_proxy: str, client_of: Clients
) -> None:
    peer = run(Peer())
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", no_proxy.format(port=peer.port))
    async with client_of(peer.url()) as client:
        assert await client.ask() == BODY


@pytest.mark.parametrize(
    ("how", "said", "retry"),
    [
        ({"user": "else:x"}, r"the proxy http://127.0.0.1:\d+ answered 407, asked for localhost:443", False),
        ({"refuse": 503}, "answered 503", True),
    ],
)
async def test_a_proxy_that_opens_none(
    run: Run, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], said: str, retry: bool, client_of: Clients
) -> None:
    proxy = run(ForwardProxy(**how))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:planted@127.0.0.1:{proxy.port}")
    async with client_of("https://localhost/v1") as client:
        with pytest.raises(ProviderError, match=said) as raised:
            await client.ask()
    assert raised.value.retry == retry
    assert "planted" not in str(raised.value)


async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch, client_of: Clients) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:planted@127.0.0.1:9")
    async with client_of("https://localhost/v1") as client:
        with pytest.raises(ProviderError, match=r"cannot reach https://localhost through the proxy http://127.0.0.1:9"):
            await client.ask()


async def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch, client_of: Clients) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:planted@127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"'socks5://127.0.0.1:9'.*'model_client'") as raised:
        async with client_of("https://localhost/v1") as client:
            await client.ask()
    assert "planted" not in str(raised.value)
