"""Connections of the commands to running servers."""

from __future__ import annotations

import logging
import os
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from hud_core.errors import BackendError, ConfigError
from hud_core.model.task import EnvRef
from hud_mcp.client.connection import Connection
from hud_mcp.client.lending import HttpClients
from hud_mcp.client.opening import HttpOpener, ObjectOpener, StdioOpener
from hud_mcp.client.options import environment_of, headers_of, read_target, secrets_of
from hud_mcp.wire import EPISODE, HARNESS, HARNESS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp.types import RequestParamsMeta

    from hud_mcp.client.opening import Opener

CONNECTION, PROTOCOL = 3, 5
"""What `hud` exits with."""


class UnreachableError(BackendError):
    """A server cannot be reached."""

    exit_code = CONNECTION


class RefusedError(BackendError):
    """A server answered with an error."""

    exit_code = PROTOCOL


@asynccontextmanager
async def connected(name: str, options: dict[str, Any]) -> AsyncIterator[Connection]:
    """Connect to a server.

    Args:
        name: What messages call it.
        options: The options of an `EnvRef` of the backend ``mcp``: a ``url``, a ``command`` or an ``object``, and what
            goes with it.

    Raises:
        UnreachableError: It does not answer.
        ConfigError: The options are wrong, or it refuses us.
    """
    # The SDK warns of tools that are called and not listed; those of the harness never are.
    logging.getLogger("client").setLevel(logging.ERROR)
    connection = Connection(_opener(name, options))
    try:
        await connection.__aenter__()
    except ConfigError:
        raise
    except BackendError as error:
        raise UnreachableError(str(error)) from error
    try:
        yield connection
    finally:
        await connection.__aexit__(None, None, None)


def _opener(name: str, options: dict[str, Any]) -> Opener:
    target = read_target(EnvRef(name, "mcp", options))
    if target.kind == "url":
        return HttpOpener(target, headers_of(target), HttpClients(ssl.create_default_context()), secrets_of(target))
    if target.kind == "object":
        from hud_mcp.client.objects import server_of

        return ObjectOpener(target, server_of(target, None))
    return StdioOpener(target, environment_of(target), secrets_of(target))


def harness_meta(handle: str | None = None) -> RequestParamsMeta:
    """Give the ``_meta`` of a request that only a harness may make."""
    capability = os.environ.get(HARNESS_VARIABLE)
    meta = {HARNESS: capability, EPISODE: handle}
    return cast("RequestParamsMeta", {key: value for key, value in meta.items() if value})
