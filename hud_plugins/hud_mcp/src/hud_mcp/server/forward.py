"""Requests of an episode that another replica holds, passed on to that replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import msgspec
from attrs import frozen
from mcp_types import INTERNAL_ERROR
from starlette.datastructures import Headers
from starlette.responses import Response

from hud_core.errors import BackendError
from hud_mcp import wire
from hud_mcp.server.bodies import once_more, read_messages
from hud_mcp.server.requests import ADDRESSED
from hud_mcp.server.store import replica_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from hud_mcp.server.store import Address, EpisodeStore

FORWARDED = "hud-forwarded"
"""The header of a request that was passed on: it is answered where it arrives, whatever its handle says."""
CONNECT_SECONDS = 5.0
_LIMITS = httpx2.Limits(max_connections=None, keepalive_expiry=2.0)
"""Calls may take long, any number of them; and a connection is given up before the other side, after 5 s, does so."""
_OF_ONE_HOP = frozenset(
    ("connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding", "upgrade")
)
_GONE = "the replica that held the episode is gone; set the scenario up again"


class Forward:
    """Middleware that answers for episodes of this replica, and asks the others about theirs.

    Args:
        app: Answers what is asked of this replica.
        store: Where the others are.
        limit: How many bytes of a request are read; the application refuses what has more.
    """

    def __init__(self, app: ASGIApp, store: EpisodeStore, limit: int) -> None:
        self._app = app
        self._store = store
        self._limit = limit
        self._clients: dict[str, httpx2.AsyncClient] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http" or scope["method"] != "POST" or FORWARDED in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        messages = await read_messages(receive, self._limit)
        body = b"".join(message.get("body", b"") for message in messages)
        token = scope.get("path_params", {}).get(ADDRESSED)
        request = _request(body, is_addressed=token is not None)
        replica = replica_of(token or request.get("handle"))
        if replica in ("", self._store.replica):
            await self._app(scope, once_more(messages, receive), send)
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_when_left, receive, tasks.cancel_scope)
            passed = _Passed(token, body, _passed_on(Headers(scope=scope)))
            await self._ask(replica, passed, _Relay(request.get("id"), send))
            tasks.cancel_scope.cancel()

    async def aclose(self) -> None:
        """Close the connections to the other replicas."""
        while self._clients:
            await self._clients.popitem()[1].aclose()

    async def _ask(self, replica: str, request: _Passed, relay: _Relay) -> None:
        address = self._store.find(replica)
        if address is None:
            await self._drop(replica)
            await relay.fail(_GONE)
            return
        client = self._client(replica, address)
        try:
            url = address.url if request.token is None else wire.episode_url(address.url, request.token)
            async with client.stream("POST", url, content=request.body, headers=request.headers) as answer:
                await relay.pass_back(answer)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            await self._drop(replica)
            await relay.fail(_GONE)
        except httpx2.TransportError as error:
            await relay.fail(f"the replica that holds the episode broke off ({type(error).__name__}: {error})")

    async def _drop(self, replica: str) -> None:
        """Forget a replica that is gone; one that comes back under its name is connected to anew."""
        if (client := self._clients.pop(replica, None)) is not None:
            await client.aclose()

    def _client(self, replica: str, address: Address) -> httpx2.AsyncClient:
        if replica not in self._clients:
            path = None if address.socket is None else str(address.socket)
            transport = httpx2.AsyncHTTPTransport(uds=path, trust_env=False, limits=_LIMITS)
            # No deadline for the answer: a tool may take its time, and clients leave when they have waited enough.
            timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
            self._clients[replica] = httpx2.AsyncClient(transport=transport, timeout=timeout, trust_env=False)
        return self._clients[replica]


@frozen
class _Passed:
    """A request on its way to another replica."""

    token: str | None
    """Of the episode's address that it came to; None where that was the server's own."""
    body: bytes
    headers: list[tuple[str, str]]


class _Relay:
    """The way back to a client: another replica's answer, or an error in its place."""

    def __init__(self, request_id: Any, send: Send) -> None:  # noqa: ANN401  JSON data
        self._id = request_id
        self._send = send
        self._is_stream: bool | None = None
        """Whether the answer that has begun is a stream of events; None before it begins."""

    async def pass_back(self, answer: httpx2.Response) -> None:
        """Pass an answer back as it comes."""
        headers = [(name, value) for name, value in answer.headers.raw if name.decode().lower() not in _OF_ONE_HOP]
        await self._send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        self._is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
        async for chunk in answer.aiter_raw():
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, text: str) -> None:
        """Say why there is no answer, as far as what was sent already allows."""
        data = {wire.ERROR: BackendError.__name__}
        error = {"code": INTERNAL_ERROR, "message": text, "data": data}
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": self._id, "error": error})
        if self._is_stream is None:
            await Response(body, media_type="application/json")({"type": "http"}, _never, self._send)
        elif self._is_stream:
            event = b"\r\n\r\nevent: message\r\ndata: " + body + b"\r\n\r\n"
            await self._send({"type": "http.response.body", "body": event, "more_body": False})


async def _never() -> Message:
    await anyio.sleep_forever()
    raise AssertionError  # a plain response reads nothing


def _request(body: bytes, *, is_addressed: bool) -> dict[str, Any]:
    """Read a request's id and the handle that it names: the state of a round that it goes on with, or an episode's."""
    if not is_addressed and b"episode" not in body and b"requestState" not in body:
        return {}
    try:
        data = msgspec.json.decode(body)
        if is_addressed:
            return {"id": data.get("id")}
        params = data["params"]
        return {"id": data.get("id"), "handle": params.get("requestState") or params["_meta"][wire.EPISODE]}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}  # the application says what is wrong with it


def _passed_on(headers: Headers) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in headers.items() if name not in _OF_ONE_HOP]
    return [*kept, (FORWARDED, "1")]


async def _cancel_when_left(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
