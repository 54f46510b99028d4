"""The backend ``mcp``: environments behind MCP servers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from hud_core.errors import ConfigError
from hud_core.interfaces import Backend
from hud_core.model.task import EnvRef
from hud_mcp import wire
from hud_mcp.client.opened import open_session
from hud_mcp.client.options import environment_of, expand, headers_of, read_target, secrets_of

if TYPE_CHECKING:
    import ssl
    from contextlib import AbstractAsyncContextManager

    from hud_core.environment.session import Session
    from hud_core.model.task import Recipe
    from hud_mcp.client.apps import Lifespans
    from hud_mcp.client.lending import HttpClients
    from hud_mcp.client.opening import Opener
    from hud_mcp.client.options import Target

MOST_OPENING = 32
"""How many connections to one server are opened at once; the others wait, and their ``connect_timeout`` with them."""


class MCPBackend(Backend):
    """Opens environments behind MCP servers: by URL, by command, by an object of this process, by an OpenAPI document.

    Each rollout has a connection of its own; a server that is started is started for it, and ends with it.
    """

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None
        self._clients: HttpClients | None = None
        self._lifespans: Lifespans | None = None
        self._gates: dict[str | int, anyio.CapacityLimiter] = {}

    def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> AbstractAsyncContextManager[Session]:  # noqa: ARG002  servers take none
        """Open a connection for one rollout.

        Raises:
            ConfigError: The reference names no server, or an option is wrong.
        """
        target = read_target(ref if isinstance(ref, EnvRef) else EnvRef(ref.name, "mcp", {"object": ref}))
        if target.kind == "openapi" or _is_fastapi(target):
            from hud_mcp.client.openapi import OpenAPISession

            return OpenAPISession(target, self._tls(), self._apps(), self._gate(target))
        capability = _capability(target)
        return open_session(
            target.name, self._opener(target, capability), capability=capability, gate=self._gate(target)
        )

    def _gate(self, target: Target) -> anyio.CapacityLimiter:
        """Let only so many connections to a server be opened at once: a job may begin with hundreds."""
        is_named = isinstance(target.value, str)
        key = f"{target.value} {target.options.get('args')}" if is_named else id(target.value)
        if key not in self._gates:
            self._gates[key] = anyio.CapacityLimiter(MOST_OPENING)
        return self._gates[key]

    async def aclose(self) -> None:
        """Shut the apps of this process down that were started, and hang up where nobody speaks."""
        try:
            if self._lifespans is not None:
                await self._lifespans.aclose()
        finally:
            if self._clients is not None:
                await self._clients.aclose()

    def _apps(self) -> Lifespans:
        from hud_mcp.client.apps import Lifespans

        if self._lifespans is None:
            self._lifespans = Lifespans(self.tasks)
        return self._lifespans

    def _opener(self, target: Target, capability: str | None) -> Opener:
        from hud_mcp.client.opening import HttpOpener, ObjectOpener, StdioOpener

        bare = attrs.evolve(target, options={k: v for k, v in target.options.items() if k not in _SECRET})
        if target.kind == "url":
            return HttpOpener(bare, headers_of(target), self._http(), secrets_of(target))
        if target.kind == "command":
            env = {**environment_of(target), wire.HARNESS_VARIABLE: capability or ""}
            return StdioOpener(bare, env, secrets_of(target))
        from hud_mcp.client.objects import server_of

        return ObjectOpener(bare, server_of(target, capability))

    def _http(self) -> HttpClients:
        from hud_mcp.client.lending import HttpClients

        if self._clients is None:
            self._clients = HttpClients(self._tls(), self.tasks)
        return self._clients

    def _tls(self) -> ssl.SSLContext:
        """Give the TLS settings that all connections share: making them takes longer than connecting."""
        if self._context is None:
            import httpx2

            self._context = httpx2.create_ssl_context()
        return self._context


_SECRET = frozenset({"headers", "token", "harness", "env"})
"""Options that are read once and not kept with the connection."""


def _is_fastapi(target: Target) -> bool:
    is_one = target.kind in ("fastapi", "object") and callable(getattr(target.value, "openapi", None))
    if target.kind == "fastapi" and not is_one:
        value = target.value
        msg = f"connection {target.name!r}: {type(value).__name__} {value!r} is no FastAPI app: it has no openapi()"
        raise ConfigError(msg)
    return is_one


def _capability(target: Target) -> str | None:
    """Give what shows a server that the harness asks: the option ``harness``, or a new secret for a new process."""
    given = target.options.get("harness")
    if given is not None:
        return expand(given, "harness")
    return None if target.kind == "url" else secrets.token_urlsafe(24)


def no_server(name: str, value: Any) -> ConfigError:  # noqa: ANN401  whatever a user handed over
    """Say that an object is no server."""
    return ConfigError(
        f"connection {name!r}: {type(value).__name__} {value!r} is no server; "
        "give a hud Environment, an MCPServer or Server of the mcp SDK, a FastMCP object or a FastAPI app"
    )
