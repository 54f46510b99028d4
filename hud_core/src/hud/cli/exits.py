"""Exit codes, and which of them an exception means."""

from __future__ import annotations

from enum import IntEnum

from hud_core.errors import (
    ArgumentError,
    ConfigError,
    DefinitionError,
    HudError,
    PluginError,
    ProviderError,
    TaskDataError,
)


class Exit(IntEnum):
    """What ``hud`` says to the program that called it."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONNECTION = 3
    TIMEOUT = 4
    PROTOCOL = 5
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """Whoever read our output left: 128 + SIGPIPE, as for any other program in a pipe."""


_MEANINGS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Exit], ...] = (
    (TimeoutError, Exit.TIMEOUT),
    ((ConnectionError, ProviderError), Exit.CONNECTION),
    ((ArgumentError, ConfigError, DefinitionError, PluginError, TaskDataError), Exit.USAGE),
)


def exit_code(error: BaseException) -> int:
    """Say what an exception means; a plugin's own exception may say it itself, in an attribute ``exit_code``."""
    own = getattr(error, "exit_code", None)
    if isinstance(own, int):
        return own
    return next((code for kinds, code in _MEANINGS if isinstance(error, kinds)), Exit.FAILED)


def message_of(error: BaseException) -> str:
    """Say an exception to a user, in one message."""
    from hud_core.errors import describe

    if isinstance(error, HudError):
        return describe(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{describe(error)} (unexpected; HUD_DEBUG=1 shows where it happened)"
