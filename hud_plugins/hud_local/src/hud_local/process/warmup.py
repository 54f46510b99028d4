"""A rehearsal: one session of a small environment, in the fork server itself.

What runs for the first time fills caches, and is rewritten by Python's interpreter as it runs. After a rehearsal that
has happened once, in memory that children share, instead of in every child.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator  # noqa: TC003  the scenario's annotations are read
from typing import Any

import msgspec

from hud_core.environment.environment import Environment
from hud_core.model.evaluation import Answer
from hud_core.model.tools import ToolCall
from hud_local.process.child import Child
from hud_local.process.frames import FrameReader, pack_frame
from hud_local.process.messages import Request, encode
from hud_local.process.wire import Wire


def warm_up() -> None:
    """Run a session; back to one thread at the end."""
    before = threading.active_count()
    ends = [socket.socketpair() for _ in range(2)]
    try:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(_rehearse(loop, *ends))
        loop.close()
    finally:
        for end in (end for pair in ends for end in pair):
            end.close()
    while threading.active_count() > before:  # the tool's worker thread is told to end, and does
        time.sleep(0.001)


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


async def _rehearse(
    loop: asyncio.AbstractEventLoop,
    harness: tuple[socket.socket, socket.socket],
    tools: tuple[socket.socket, socket.socket],
) -> None:
    child = Child(_environment(), Wire(harness[1], loop), Wire(tools[1], loop))
    async with asyncio.TaskGroup() as group:
        group.create_task(child.run())
        for connection, method, value in (
            (harness[0], "setup", ("scenario", {"word": "a"})),
            (tools[0], "list_tools", None),
            (tools[0], "call_tool", ToolCall("blocking", {"text": "a"})),
            (tools[0], "call_tool", ToolCall("immediate", {"text": "a"})),
            (harness[0], "grade", Answer(text="a")),
            (harness[0], "close", None),
        ):
            connection.setblocking(False)  # noqa: FBT003  the name says it
            frame = pack_frame(encode(Request(1, method, msgspec.Raw(encode(value)))))
            await loop.sock_sendall(connection, frame)
            reader = FrameReader()
            while not list(reader.feed(await loop.sock_recv(connection, 1 << 16))):
                pass
