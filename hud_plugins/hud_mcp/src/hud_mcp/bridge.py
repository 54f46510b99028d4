"""``python -m hud_mcp.bridge URL``: an MCP server on stdin and stdout that passes everything on to one over HTTP.

For clients that know only servers which they start. The bearer token is in the variable ``HUD_MCP_TOKEN``, where no
list of processes shows it. What is passed on are messages of the handshake era; clients of both eras speak that.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

import anyio
import httpx2
from mcp.client.streamable_http import streamable_http_client

from hud_mcp.client.options import MAX_MESSAGE
from hud_mcp.server.stdio import stdio
from hud_mcp.wire import BEARER_VARIABLE

CONNECT_SECONDS = 10.0


async def bridge(url: str, token: str) -> None:
    """Pass messages on, both ways, until the client at stdin leaves."""
    # No limit for reading: clients leave when they have waited enough.
    timeout = httpx2.Timeout(CONNECT_SECONDS, read=None)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as http,
        streamable_http_client(url, http_client=http, max_sse_event_size=MAX_MESSAGE) as (answers, requests),
        stdio(MAX_MESSAGE) as (asked, answered),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_pass_on, answers, answered)
        await _pass_on(asked, requests)
        tasks.cancel_scope.cancel()


async def _pass_on(source: Any, target: Any) -> None:  # noqa: ANN401  streams of the SDK's, of no common type
    async for message in source:
        if isinstance(message, Exception):
            sys.stderr.write(f"the server broke the protocol: {message}\n")
        else:
            await target.send(message)


def main() -> None:
    """Run the command."""
    token = os.environ.pop(BEARER_VARIABLE, None)
    if len(sys.argv) != 2 or token is None:  # noqa: PLR2004  the program and the URL
        sys.exit(f"usage: {BEARER_VARIABLE}=TOKEN python -m hud_mcp.bridge URL")
    anyio.run(partial(bridge, sys.argv[1], token))


if __name__ == "__main__":
    main()
