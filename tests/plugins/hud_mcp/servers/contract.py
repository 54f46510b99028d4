"""The contract's environment as an MCP server; over stdio, or over HTTP at the port given."""

from __future__ import annotations

import sys

import anyio

from hud_core.testing.environments import contract
from hud_mcp.server import EnvironmentServer

if __name__ == "__main__":
    server = EnvironmentServer(contract)
    if sys.argv[1] == "stdio":
        anyio.run(server.serve_stdio)
    else:
        anyio.run(server.serve_http, "127.0.0.1", int(sys.argv[1]))
