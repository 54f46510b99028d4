"""An endpoint of OpenAI's APIs that does what a test says: answers, calls tools, and fails in every way servers fail.

It needs nothing but the standard library and runs in a thread (`StubEndpoint`), or as a process for benchmarks:
``python stub_endpoint.py --delay 0.2 --turns 20`` prints its URL and answers each conversation in that many turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Reply:
    """What the endpoint does with one request."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang_up: bool = False
    """Close the connection without a word."""
    cut: bool = False
    """Close the connection in the middle of the body."""


@dataclass
class Request:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    """Which connection it came over, counted from 0."""


def completion(message: dict[str, Any], finish: str, usage: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make the body of an answer."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub-1",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}],
        "usage": usage or {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }


def say(text: str | None, finish: str = "stop", *, usage: dict[str, Any] | None = None, **message: Any) -> Reply:
    """Answer with text."""
    return Reply(completion({"content": text, **message}, finish, usage))


def call(*calls: tuple[str, Any], finish: str = "tool_calls", text: str | None = None, **message: Any) -> Reply:
    """Call tools: each a name and its arguments, or the raw text of them."""
    wire = [
        {
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": name, "arguments": args if isinstance(args, str) else json.dumps(args)},
        }
        for n, (name, args) in enumerate(calls)
    ]
    return Reply(completion({"content": text, "tool_calls": wire, **message}, finish))


def respond(*items: dict[str, Any], **more: Any) -> Reply:
    """Answer as the Responses API does, with output items; each response has an id of its own."""
    body = {
        "id": f"resp_{next(_numbers)}",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "stub-1",
        "output": list(items),
        "usage": {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12},
    }
    return Reply({**body, **more})


_numbers = itertools.count(1)


def message(*parts: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make the output item of what the model says: texts, or parts of other kinds."""
    content = [
        {"type": "output_text", "text": part, "annotations": []} if isinstance(part, str) else part for part in parts
    ]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content, **more}


def function(name: str, arguments: Any, call_id: str = "call_1", **more: Any) -> dict[str, Any]:
    """Make the output item of a tool call: arguments, or the raw text of them."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": raw, **more}


def streamed(reply: Reply) -> Reply:
    """Give the same reply as the one event of a stream."""
    choice = dict(reply.body["choices"][0])
    choice["delta"] = choice.pop("message")
    choice["delta"]["tool_calls"] = [
        {**called, "index": index} for index, called in enumerate(choice["delta"].get("tool_calls", ()))
    ]
    chunk = {**reply.body, "object": "chat.completion.chunk", "choices": [choice]}
    body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    return Reply(body, headers={"content-type": "text/event-stream"})


def fail(status: int, text: str = "no", *, error: dict[str, Any] | None = None, **headers: str) -> Reply:
    """Answer with an error, of which more than the text may be said."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply({"error": {"message": text, "type": "stub_error", **(error or {})}}, status, named)


def hang_up() -> Reply:
    """Close the connection instead of an answer."""
    return Reply(hang_up=True)


Script = Callable[[Request], Reply]


class StubEndpoint:
    """The endpoint, on a free loopback port, in a thread. A context manager.

    Args:
        replies: What to do with the requests, in their order, the last one again and again; or a function that decides.
    """

    def __init__(self, *replies: Reply | Script) -> None:
        self.requests: list[Request] = []
        self._replies: Iterator[Reply | Script] = itertools.chain(replies, itertools.repeat(replies[-1]))
        self._connections = itertools.count()
        self._port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def serve(self, on_ready: Callable[[], None] = lambda: None) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=4096)
        self._port = server.sockets[0].getsockname()[1]
        on_ready()
        self._ready.set()
        try:
            await self._end.wait()
        finally:
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._connections)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await self._read(reader, number)
                self.requests.append(request)
                reply = next(self._replies)
                reply = reply(request) if callable(reply) else reply
                await asyncio.sleep(reply.delay)
                if reply.hang_up:
                    break
                encoded = _encode(reply)
                writer.write(encoded[:-5] if reply.cut else encoded)
                await writer.drain()
                if reply.cut:
                    break
        writer.close()

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(head[0].split(" ")[1], headers, json.loads(body or b"null"), connection)


def _encode(reply: Reply) -> bytes:
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    headers = {"content-type": "application/json", "x-request-id": "req-1", **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} Stub\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


def speak(text: str) -> Script:
    """Answer with a text, on the API that is asked."""
    return lambda request: respond(message(text)) if "/responses" in request.path else say(text)


def converse(delay: float, turns: int, refused: float = 0.0, retry_after: str = "1") -> Script:
    """Answer a conversation in that many turns, each after a delay: tool calls, then text.

    A share of the requests is refused at once instead, at random, with 429 and a ``Retry-After``.
    """
    more, last, full = call(("echo", {"text": "on"})), say("done"), fail(429, "slow down", retry_after=retry_after)
    more.delay = last.delay = delay
    chance = random.Random(0)

    def decide(request: Request) -> Reply:
        if chance.random() < refused:
            return full
        if request.path.endswith("/responses"):  # the id of a response says how many turns there were
            place = int((request.body.get("previous_response_id") or "resp_0").rpartition("_")[2]) + 1
            item = function("echo", {"text": "on"}) if place < turns else message("done")
            reply = respond(item, id=f"resp_{place}")
            reply.delay = delay
            return reply
        said = sum(message["role"] == "assistant" for message in request.body["messages"])
        return more if said + 1 < turns else last

    return decide


class _Forgetful(list[Request]):
    """Keeps nothing: a benchmark makes too many requests to keep."""

    def append(self, _: Request) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--refused", type=float, default=0.0)
    arguments = parser.parse_args()
    endpoint = StubEndpoint(converse(arguments.delay, arguments.turns, arguments.refused))
    endpoint.requests = _Forgetful()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(endpoint.serve(lambda: print(endpoint.url, flush=True)))


if __name__ == "__main__":
    main()
