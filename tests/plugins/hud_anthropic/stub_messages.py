"""A Messages API that does what a test says: streams answers, calls tools, and fails in every way servers fail."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from anthropic.types import beta as types
from pydantic import TypeAdapter

Event = dict[str, Any]


@dataclass
class Reply:
    """What the endpoint does with one request: it streams events, or gives a body."""

    events: list[Event] = field(default_factory=list)
    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the first byte."""
    pause: float = 0.0
    """Seconds after each event."""
    cut: int | None = None
    """After how many events the connection is lost; -1 is before the headers."""


@dataclass
class Request:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    """Which connection it came over, counted from 0."""


# --- messages ---------------------------------------------------------------------------------------------------------

USAGE = {"input_tokens": 10, "output_tokens": 1}


def message(*blocks: Event, stop: str = "end_turn", usage: Event | None = None, **end: Any) -> Reply:
    """Stream blocks, each of its content in small pieces, as the API does."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "stub-1", "content": []}
    events: list[Event] = [
        {"type": "message_start", "message": {**start, "stop_reason": None, "usage": usage or USAGE}},
        {"type": "ping"},
    ]
    for index, block in enumerate(blocks):
        shell, deltas = taken_apart(block)
        events.append({"type": "content_block_start", "index": index, "content_block": shell})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": stop, "stop_sequence": None, **end}
    events += [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 2}}, {"type": "message_stop"}]
    return Reply(events)


def taken_apart(block: Event) -> tuple[Event, list[Event]]:
    """Give a block as it starts, and the deltas that make it whole."""
    kind = block["type"]
    if kind == "text":
        cited = [{"type": "citations_delta", "citation": citation} for citation in block.get("citations", ())]
        texts = [{"type": "text_delta", "text": piece} for piece in halves(block["text"])]
        return {"type": "text", "text": "", **({"citations": []} if cited else {})}, [*texts, *cited]
    if kind == "thinking":
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
    if kind in ("tool_use", "server_tool_use"):
        given = block["input"]
        text = given if isinstance(given, str) else json.dumps(given) if given else ""
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in halves(text)]
    return block, []


def halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def text(said: str, *citations: Event) -> Event:
    """Make a block of text."""
    return {"type": "text", "text": said, **({"citations": list(citations)} if citations else {})}


def say(said: str, stop: str = "end_turn", **more: Any) -> Reply:
    """Answer with text."""
    return message(*([text(said)] if said else []), stop=stop, **more)


def use(name: str, arguments: Any, call_id: str = "toolu_0") -> Event:
    """Make a block that calls a tool, with arguments or the raw text of them."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def call(*calls: tuple[str, Any], said: str = "", stop: str = "tool_use", **more: Any) -> Reply:
    """Call tools."""
    uses = [use(name, arguments, f"toolu_{n}") for n, (name, arguments) in enumerate(calls)]
    return message(*([text(said)] if said else []), *uses, stop=stop, **more)


def fail(status: int, said: str = "no", kind: str = "api_error", **headers: str) -> Reply:
    """Answer with an error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body={"type": "error", "error": {"type": kind, "message": said}}, status=status, headers=named)


def broken(reply: Reply, at: int, kind: str = "overloaded_error", said: str = "Overloaded") -> Reply:
    """Put an error in the middle of a stream."""
    return Reply([*reply.events[:at], {"type": "error", "error": {"type": kind, "message": said}}])


def cut(reply: Reply, at: int) -> Reply:
    """Lose the connection in the middle of a stream."""
    return Reply(reply.events, cut=at)


# --- the form of requests ---------------------------------------------------------------------------------------------


@cache
def forms() -> dict[str, TypeAdapter[Any]]:
    """Give the SDK's own types for what is in a request."""
    system = str | list[types.BetaTextBlockParam]
    return {
        "messages": TypeAdapter(list[types.BetaMessageParam]),
        "output_config": TypeAdapter(types.BetaOutputConfigParam),
        "system": TypeAdapter(system),
        "thinking": TypeAdapter(types.BetaThinkingConfigParam),
        "tool_choice": TypeAdapter(types.BetaToolChoiceParam),
        "tools": TypeAdapter(list[types.BetaToolUnionParam]),
    }


def check_form(body: Any) -> None:
    """Check a request against the SDK's types.

    Raises:
        ValidationError: It is not what the API takes.
    """
    for name, form in forms().items():
        if name in body:
            drain(form.validate_python(body[name]))


def drain(value: Any) -> None:
    """Look at everything: what the SDK types as an iterable is checked when it is looked at."""
    if isinstance(value, str | bytes | int | float | None):
        return
    for item in value.values() if isinstance(value, dict) else value:
        drain(item)


# --- the server -------------------------------------------------------------------------------------------------------

Script = Callable[[Request], Reply]


class StubMessages:
    """The endpoint, on a free loopback port, in threads. A context manager.

    Args:
        replies: What to do with the requests, in their order, the last one again and again; or a function that decides.
    """

    def __init__(self, *replies: Reply | Script) -> None:
        self.requests: list[Request] = []
        self._replies: Iterator[Reply | Script] = itertools.chain(replies, itertools.repeat(replies[-1]))
        self._connections = itertools.count()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(), bind_and_activate=False)
        self._server.request_queue_size = 512
        self._server.server_bind()
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            reply = next(self._replies)
        return reply(request) if callable(reply) else reply

    def connect(self) -> int:
        return next(self._connections)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"stub": self})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = -1  # what is written goes out when it is flushed
    stub: StubMessages

    def setup(self) -> None:
        super().setup()
        self.number = self.stub.connect()

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.stub.answer(Request(self.path, headers, json.loads(body or b"null"), self.number))
        time.sleep(reply.delay)
        try:
            self._send(reply)
        except OSError:  # the client went away, as some tests want
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        if reply.cut == -1:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"request-id": "req_1", **reply.headers}.items():
            self.send_header(name, value)
        if reply.body is not None:
            self._send_body(reply.body)
        else:
            self._stream(reply)

    def _send_body(self, body: Any) -> None:
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)
        self.wfile.flush()

    def _stream(self, reply: Reply) -> None:
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in reply.events[: reply.cut]:
            data = event.get("raw") or json.dumps(event)
            encoded = f"event: {event['type']}\ndata: {data}\n\n".encode()
            self.wfile.write(f"{len(encoded):x}\r\n".encode() + encoded + b"\r\n")
            if reply.pause:
                self.wfile.flush()
                time.sleep(reply.pause)
        if reply.cut is None:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True
        self.wfile.flush()
