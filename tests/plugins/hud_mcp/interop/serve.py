"""Serve one of the environments beside this file: ``serve.py MODULE stdio`` or ``serve.py MODULE http PORT``."""

from __future__ import annotations

import importlib
import sys

import anyio

from hud_mcp.server import EnvironmentServer


async def main(module: str, transport: str, *port: str) -> None:
    served = importlib.import_module(module)
    server = EnvironmentServer(served.env)
    served.prepare(server)
    if transport == "stdio":
        await server.serve_stdio()
    else:
        await server.serve_http(port=int(port[0]))


anyio.run(main, *sys.argv[1:])
