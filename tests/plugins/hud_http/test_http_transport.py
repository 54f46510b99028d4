"""What a client of httpx2 sees that sends over the pools."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from http_peer import BODY, OK, Peer, Play, Threaded

from hud_core.errors import ConfigError, ProviderError
from hud_http.transport import http_client

Run = Callable[[Threaded], Any]
MANY = 1_000


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.01)


def files() -> int:
    return len([*Path("/dev/fd").iterdir()])


async def test_requests_arrive_as_they_were_written(run: Run) -> None:
    peer = run(Peer())

    async def pieces() -> Any:
        yield b"a"
        yield b"b"

    async with http_client(timeout=60) as client:
        await client.post(f"{peer.url()}/é?q=a%20b", content="x", headers={"X-Trace": "7"})
        await client.post(peer.url(), content=pieces())
        await client.get(peer.url())
    assert [request.line for request in peer.heard] == [
        "POST /v1/%C3%A9?q=a%20b HTTP/1.1",
        "POST /v1 HTTP/1.1",
        "GET /v1 HTTP/1.1",
    ]
    assert [request.body for request in peer.heard] == [b"x", b"ab", b""]
    assert [request.headers.get("content-length") for request in peer.heard] == ["1", "2", None]
    assert not any("transfer-encoding" in request.headers for request in peer.heard)
    assert peer.heard[0].headers["x-trace"] == "7"
    assert peer.heard[0].headers["host"] == f"127.0.0.1:{peer.port}"


@pytest.mark.parametrize("value", ["planted\n", "planted\r\nx-b: 1", "a\rplanted"])
async def test_a_header_is_one_line(run: Run, value: str) -> None:
    peer = run(Peer())
    async with http_client(timeout=60) as client:
        with pytest.raises(ConfigError, match="header 'X-A' must be one line of text") as raised:
            await client.post(peer.url(), content="x", headers={"x-c": "1", "X-A": value})
    assert "planted" not in str(raised.value)
    assert not peer.heard


async def test_what_it_adds_to_headers(run: Run) -> None:
    peer = run(Peer())
    async with http_client(timeout=60) as client:
        await client.post(peer.url(), content=b"x", headers={"Host": "else.example", "accept-encoding": "br"})
        await client.post(peer.url(), content=b"x")
    assert [request.headers for request in peer.heard] == [
        {"host": host, "accept-encoding": "identity", "content-length": "1"}
        for host in ("else.example", f"127.0.0.1:{peer.port}")
    ]


async def test_a_response_is_whole_however_it_is_read(run: Run) -> None:
    said = '{"text": "é"}'
    packed = gzip.compress(said.encode())
    peer = run(Peer(reply(200, packed, content_encoding="gzip", content_type="application/json", request_id="r é")))
    async with http_client(timeout=60) as client:
        response = await client.get(peer.url())
        assert (response.text, response.json(), response.content) == (said, {"text": "é"}, said.encode())
        assert response.headers["content-type"] == "application/json"
        assert response.headers["request-id"] == "r é"
        assert "content-encoding" not in response.headers
        async with client.stream("GET", peer.url()) as streamed:
            assert [line async for line in streamed.aiter_lines()] == [said]


async def test_an_answer_that_goes_on_may_last_longer_than_the_timeout(run: Run) -> None:
    peer = run(Peer(Play([OK[place : place + 6] for place in range(0, len(OK), 6)], pause=0.1)))
    async with http_client(timeout=2, renews=True) as client:
        assert (await client.post(peer.url())).content == BODY


@pytest.mark.parametrize("begun", [b"", OK[:-5]], ids=["silence", "half"])
async def test_silence_is_not_waited_for(run: Run, begun: bytes) -> None:
    peer = run(Peer(begun))
    async with http_client(timeout=0.3, renews=True) as client:
        with anyio.fail_after(60), pytest.raises(ProviderError, match="did not answer in time; setting 'timeout'"):
            await client.post(peer.url())
        await until(lambda: not peer.open)


async def test_redirects_are_followed_without_what_is_secret(run: Run) -> None:
    there = run(Peer())
    here = run(Peer(reply(307, location=f"{there.url('localhost')}/moved")))
    async with http_client(timeout=60) as client:
        for _ in range(2):
            response = await client.post(here.url(), content=b"x", headers={"authorization": "Bearer sk-1"})
            assert response.content == BODY
        assert (here.connections, there.connections) == ([0] * 4, [0, 0])
    await until(lambda: not here.open and not there.open)
    assert there.heard[0].line == "POST /v1/moved HTTP/1.1"
    assert there.heard[0].body == b"x"
    assert "authorization" not in there.heard[0].headers


async def test_who_asks_may_stand_in_the_address_or_beside_it(run: Run) -> None:
    peer = run(Peer())
    async with http_client(timeout=60) as client:
        await client.post(peer.url().replace("//", "//me:pw@"), content=b"x")
        await client.post(peer.url(), content=b"x", auth=("me", "pw"))
    assert [heard.headers.get("authorization") for heard in peer.heard] == ["Basic bWU6cHc="] * 2


async def test_a_redirect_that_would_not_post_is_not_followed(run: Run) -> None:
    peer = run(Peer(reply(303, location="/elsewhere")))
    async with http_client(timeout=60) as client:
        assert (await client.post(peer.url(), content=b"x")).status_code == 303
    assert len(peer.heard) == 1


async def test_a_client_that_was_closed_says_so(run: Run) -> None:
    peer = run(Peer())
    async with http_client(timeout=60) as client:
        await client.post(peer.url(), content=b"x")
    with pytest.raises(RuntimeError, match="has been closed"):
        await client.post(peer.url(), content=b"x")


async def test_a_redirect_may_lead_nowhere(run: Run) -> None:
    peer = run(Peer(reply(307, location="ftp://elsewhere/")))
    async with http_client(timeout=60) as client:
        with pytest.raises(httpx2.UnsupportedProtocol, match="'ftp' is neither http nor https"):
            await client.post(peer.url())


@pytest.mark.slow
async def test_a_thousand_requests_at_once_leave_nothing_open(run: Run) -> None:
    peer = run(Peer(Play(together=MANY)))
    before = files()
    async with http_client(timeout=120) as client:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(MANY):
                    tasks.start_soon(client.post, peer.url())
    assert sorted(peer.connections) == sorted([*range(MANY)] * 2)
    await until(lambda: not peer.open and files() <= before)
