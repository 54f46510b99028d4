"""Who called the code that is running, as far as it is a client over MCP."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hud_mcp.server.asking import Caller

current_caller: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("hud_mcp_caller", default=None)
"""The client that called the code that is running; None where nobody did over MCP."""


def open_caller() -> Caller | None:
    """Give that client, while it still waits for an answer."""
    caller = current_caller.get()
    return caller if caller is not None and caller.is_open else None
