"""The kernel's errors as MCP's, with what a client of ours needs to raise the same one again."""

from __future__ import annotations

from typing import Any

from mcp import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from hud_core.errors import ArgumentError, BackendError, ConfigError, GraderError, HudError, SetupError, describe
from hud_mcp import wire


class UnknownResourceError(ConfigError):
    """Nobody published the resource that was asked for."""

    def __init__(self, message: str, uri: str) -> None:
        super().__init__(message)
        self.uri = uri


def refusal(error: Exception) -> MCPError:
    """Make the answer to a request that failed; it says what failed, and names the kernel's class of error."""
    if isinstance(error, MCPError):
        return error
    data: dict[str, Any] = {wire.ERROR: _known(error).__name__}
    if isinstance(error, ArgumentError):
        data |= {wire.SUBJECT: error.subject, wire.PROBLEMS: list(error.problems)}
    if isinstance(error, UnknownResourceError):
        data["uri"] = error.uri  # where the protocol has it
    code = INVALID_PARAMS if isinstance(error, ArgumentError | ConfigError) else INTERNAL_ERROR
    return MCPError(code, describe(error), data)


def _known(error: Exception) -> type[Exception]:
    """Give the nearest class that both sides know."""
    known = (ArgumentError, ConfigError, SetupError, GraderError, BackendError, HudError)
    return next((kind for kind in known if isinstance(error, kind)), type(error))
