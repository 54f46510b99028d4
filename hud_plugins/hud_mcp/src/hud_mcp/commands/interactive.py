"""``hud dev --interactive``: calls of a person to the server that runs, over the wire as any client's."""

from __future__ import annotations

import logging
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

from hud_core.model.task import EnvRef
from hud_mcp.client.backend import MCPBackend
from hud_mcp.commands import typed
from hud_mcp.commands.console import say
from hud_mcp.server.stdio import Lines

if TYPE_CHECKING:
    from hud_mcp.commands.announce import Address

HELP = f"""\
{typed.HELP}
  quit                       stop serving"""


async def converse(address: Address) -> None:
    """Follow what is typed until its end."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # servers of the SDK turn on what it tells of each request
    ref = EnvRef(address.name, "mcp", {"url": address.url, "token": address.token})
    async with MCPBackend().open(ref) as session, aclosing(aiter(Lines(sys.stdin.fileno()))) as lines:
        say()
        await typed.list_tools(session)
        say(f"\n{HELP}\n")
        while (text := await typed.read(lines)) != "quit":
            if text == "tools":
                await typed.list_tools(session)
            elif text:
                await typed.call(session, text, HELP)
