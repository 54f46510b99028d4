"""The kernel's errors as MCP's, with what a client of ours needs to raise the same one again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mcp import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from hud_core.errors import ArgumentError, BackendError, ConfigError, GraderError, HudError, SetupError, describe
from hud_core.failures import place_of, tell_failure
from hud_mcp import wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mcp.server.context import ServerRequestContext

    from hud_mcp.server.run import ServerRun

    Context = ServerRequestContext[ServerRun, Any]

P = TypeVar("P")
R = TypeVar("R")


class UnknownResourceError(ConfigError):
    """Nobody published the resource that was asked for."""

    def __init__(self, message: str, uri: str) -> None:
        super().__init__(message)
        self.uri = uri


def refusal(error: Exception, place: str = "") -> MCPError:
    """Make the answer to a request that failed.

    Args:
        error: What failed; the kernel's class of error is named.
        place: The file and line of it, where a harness asked.
    """
    if isinstance(error, MCPError):
        return error
    data: dict[str, Any] = {wire.ERROR: _known(error).__name__}
    if isinstance(error, ArgumentError):
        data |= {wire.SUBJECT: error.subject, wire.PROBLEMS: list(error.problems)}
    if isinstance(error, UnknownResourceError):
        data["uri"] = error.uri  # where the protocol has it
    code = INVALID_PARAMS if isinstance(error, ArgumentError | ConfigError) else INTERNAL_ERROR
    return MCPError(code, describe(error) + place, data)


@contextmanager
def told(what: str, *, place: bool = False) -> Iterator[None]:
    """Tell the developer what code of the user's raised. A client that is a harness may know the place, too."""
    try:
        yield
    except (ArgumentError, ConfigError):  # the request's own mistake
        raise
    except Exception as error:
        tell_failure(what, error)
        raise refusal(error, place_of(error) if place else "") from error


def telling(answer: Callable[[Context, P], Awaitable[R]]) -> Callable[[Context, P], Awaitable[R]]:
    """Say what failed in code of the user's: pydantic's errors would look like malformed parameters of the request."""

    async def telling(ctx: Context, params: P) -> R:
        try:
            return await answer(ctx, params)
        except Exception as error:
            raise refusal(error) from error

    return telling


def _known(error: Exception) -> type[Exception]:
    """Give the nearest class that both sides know."""
    known = (ArgumentError, ConfigError, SetupError, GraderError, BackendError, HudError)
    return next((kind for kind in known if isinstance(error, kind)), type(error))
