"""Requests that do not arrive: their senders stop in the middle, and do not hang up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_SECONDS = 30.0
"""How long a request's body may take to arrive."""


class WholeRequest:
    """Middleware that reads a request before it is answered, and refuses one whose body does not arrive.

    Args:
        app: Answers the request.
        limit: How many bytes are read; the application refuses what has more.
        seconds: How long that may take.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a request, and have it answered."""
        if scope["type"] == "http" and scope["method"] == "POST":
            try:
                with anyio.fail_after(self._seconds):
                    messages = await read_messages(receive, self._limit)
            except TimeoutError:
                text = f"the request's body did not arrive within {self._seconds:g} s"
                await PlainTextResponse(text, 408, {"connection": "close"})(scope, receive, send)
                return
            receive = once_more(messages, receive)
        await self._app(scope, receive, send)


async def read_messages(receive: Receive, limit: int) -> list[Message]:
    """Read the messages of a request's body, as far as the limit."""
    messages: list[Message] = []
    size, is_whole = 0, False
    while not is_whole and size <= limit:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
    return messages


def once_more(messages: list[Message], receive: Receive) -> Receive:
    """Give what was read already, and then what follows."""
    rest = iter(messages)

    async def again() -> Message:
        message = next(rest, None)
        return await receive() if message is None else message

    return again
