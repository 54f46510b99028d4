"""A rehearsal: some sessions of a small environment, in the fork server itself.

What runs for the first time fills caches, and is rewritten by Python's interpreter as it runs. After a rehearsal that
has happened once, in memory that children share, instead of in every child.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncGenerator  # noqa: TC003  the scenario's annotations are read
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.environment.environment import Environment
from hud_core.model.evaluation import Answer
from hud_core.model.tools import ToolCall
from hud_local.process.child import Child
from hud_local.process.frames import FrameReader, pack_frame
from hud_local.process.messages import Request, encode
from hud_local.process.template import new_loop

if TYPE_CHECKING:
    import asyncio


ROUNDS = 10
"""How many sessions are run: the interpreter specialises a function when it has run eight times. One takes 1.5 ms."""


def warm_up() -> None:
    """Run sessions; back to one thread at the end."""
    before = threading.active_count()
    for _ in range(ROUNDS):
        _run_session()
    while threading.active_count() > before:  # the tool's worker thread is told to end, and does
        time.sleep(0.001)


def _run_session() -> None:
    (harness, their_harness), (tools, their_tools) = socket.socketpair(), socket.socketpair()
    with their_harness, their_tools:
        their_harness.setblocking(False)  # noqa: FBT003  the name says it
        their_tools.setblocking(False)  # noqa: FBT003
        loop = new_loop()
        job = loop.create_task(_rehearse(loop, harness, tools))
        Child(loop, their_harness.fileno(), their_tools.fileno()).serve(_environment(), None)
        loop.run_until_complete(job)
        loop.close()


def _environment() -> Environment:
    environment = Environment("warm-up")

    @environment.tool
    def blocking(text: str) -> int:
        return len(text)

    @environment.tool(blocking=False)
    def immediate(text: str) -> int:
        return len(text)

    @environment.scenario()
    async def scenario(word: str) -> AsyncGenerator[Any, str]:
        answer = yield word
        yield float(answer == word)

    return environment


async def _rehearse(loop: asyncio.AbstractEventLoop, harness: socket.socket, tools: socket.socket) -> None:
    """Be the job, up to the end: a child whose sockets are closed ends too."""
    with harness, tools:
        for connection, method, value in (
            (harness, "setup", ("scenario", {"word": "a"})),
            (tools, "list_tools", None),
            (tools, "call_tool", ToolCall("blocking", {"text": "a"})),
            (tools, "call_tool", ToolCall("immediate", {"text": "a"})),
            (harness, "grade", Answer(text="a")),
            (harness, "close", None),
        ):
            connection.setblocking(False)  # noqa: FBT003  the name says it
            frame = pack_frame(encode(Request(1, method, msgspec.Raw(encode(value)))))
            await loop.sock_sendall(connection, frame)
            reader = FrameReader()
            while not list(reader.feed(await loop.sock_recv(connection, 1 << 16))):
                pass
