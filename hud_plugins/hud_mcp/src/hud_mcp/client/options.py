"""What a connection's `EnvRef` says, read and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from hud_core import templates
from hud_core.environment.references import bare_url
from hud_core.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.model.task import EnvRef

HTTP_OPTIONS = frozenset({"url", "headers", "token", "harness", "connect_timeout", "timeout"})
STDIO_OPTIONS = frozenset({"command", "args", "env", "cwd", "harness", "connect_timeout", "timeout"})
OBJECT_OPTIONS = frozenset({"object", "connect_timeout", "timeout"})
OPENAPI_OPTIONS = frozenset({"openapi", "base_url", "headers", "token", "connect_timeout", "timeout"})
FASTAPI_OPTIONS = OPENAPI_OPTIONS - {"openapi"} | {"fastapi", "include_hidden"}
KINDS = {
    "url": HTTP_OPTIONS,
    "command": STDIO_OPTIONS,
    "object": OBJECT_OPTIONS,
    "openapi": OPENAPI_OPTIONS,
    "fastapi": FASTAPI_OPTIONS,
}
"""The option that says what to connect to, and the options that go with it."""
IGNORED = frozenset({"type", "transport", "disabled", "description"})
"""What client configs carry beside the options that matter here."""
MAX_MESSAGE = 256 << 20
"""Bytes of one message from a server; one that sends more, or never ends a message, is broken."""


@frozen(kw_only=True)
class Target:
    """One server: what to connect to, and how long that may take."""

    name: str
    kind: str
    value: Any = field(repr=False)
    """The URL, command or object."""
    shown: str
    """What messages say of `value`: templates as they were written, and no query, for these may be secret."""
    options: dict[str, Any] = field(repr=False)
    """The other options; headers and variables may hold secrets."""
    connect_timeout: float
    """Seconds until the server must have answered the handshake."""
    timeout: float
    """Seconds that one request may take."""

    def __str__(self) -> str:
        shown = f" at {self.shown}" if self.kind == "url" else f" ({self.shown})" if self.kind == "command" else ""
        return f"MCP server {self.name!r}{shown}"


def read_target(ref: EnvRef) -> Target:
    """Read the options of a connection.

    Raises:
        ConfigError: They name no server or more than one, or an option is unknown or wrong.
    """
    options = {name: value for name, value in ref.options.items() if value is not None}
    kinds = [kind for kind in KINDS if kind in options]
    if len(kinds) != 1:
        msg = f"connection {ref.name!r} must have one of the options {', '.join(KINDS)}; it has {_listed(options)}"
        raise ConfigError(msg)
    kind = kinds[0]
    for option in options.keys() - KINDS[kind] - IGNORED:
        msg = f"connection {ref.name!r} has an unknown option {option!r}{closest(option, KINDS[kind])}"
        raise ConfigError(msg)
    slow = kind == "command"  # what has to be started first, or even downloaded
    return Target(
        name=ref.name,
        kind=kind,
        value=expand(options[kind], kind) if kind in ("url", "command") else options[kind],
        shown=bare_url(options[kind]) if kind == "url" else options[kind] if kind == "command" else "",
        options=options,
        connect_timeout=_seconds(ref.name, options, "connect_timeout", 60.0 if slow else 10.0),
        timeout=_seconds(ref.name, options, "timeout", 600.0),
    )


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(options) or "none"


def _seconds(name: str, options: Mapping[str, Any], option: str, default: float) -> float:
    value = options.get(option, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        msg = f"connection {name!r}: {option} must be a number of seconds above 0, got {value!r}"
        raise ConfigError(msg)
    return float(value)


def headers_of(target: Target) -> dict[str, str]:
    """Give the headers to send with each request, ``${VAR}`` in them replaced.

    Raises:
        ConfigError: They are no mapping of text, or a variable is not set.
    """
    headers = _texts(target, "headers")
    token = target.options.get("token")
    return {**headers, "Authorization": f"Bearer {expand(str(token), 'token')}"} if token else headers


def environment_of(target: Target) -> dict[str, str]:
    """Give the variables for a server's process, ``${VAR}`` in them replaced.

    Raises:
        ConfigError: They are no mapping of text, or a variable is not set.
    """
    return _texts(target, "env")


def _texts(target: Target, option: str) -> dict[str, str]:
    given = target.options.get(option) or {}
    if not isinstance(given, dict) or not all(isinstance(item, str) for pair in given.items() for item in pair):
        msg = f"connection {target.name!r}: {option} must be a dict of text"
        raise ConfigError(msg)
    return {name: expand(value, f"{option}.{name}") for name, value in given.items()}


def secrets_of(target: Target) -> tuple[str, ...]:
    """Name the variables in its options whose values must not be shown, whatever the server says."""
    options = target.options
    texts = [*(options.get("env") or {}).values(), *(options.get("headers") or {}).values(), options.get("token")]
    return templates.secrets_in(map(str, [target.shown, *(options.get("args") or ()), *texts]))


def expand(text: Any, part: str) -> str:  # noqa: ANN401  the value of an option, which is checked here
    """Replace ``${VAR}`` and ``${VAR:default}``; at the moment of use, so that what is stored is the template.

    Args:
        text: The template.
        part: The option that it is, or is part of, for the message.

    Raises:
        ConfigError: It is no text, or a variable is not set and has no default.
    """
    if not isinstance(text, str):
        msg = f"a connection's url and command must be text, got {text!r}"
        raise ConfigError(msg)
    return templates.expand(text, f"the connection's {part}")
