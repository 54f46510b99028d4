"""References out of what users write: addresses, and the servers of an ``mcpServers`` configuration; their digests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from hud_core.errors import DefinitionError
from hud_core.model.task import EnvRef

if TYPE_CHECKING:
    from hud_core.environment.connections import Connection

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "url": str, "headers": Mapping, "command": str, "args": (list, tuple), "env": Mapping, "cwd": str,
    "connect_timeout": (int, float),
}  # fmt: skip
_SECRET = frozenset({"headers", "env", "env_vars", "auth", "token", "harness", "api_key"})
"""Options of which only the keys count."""
_SCHEMES = ("oauth",)
"""What other clients take for ``auth`` that is no token."""

_ADDRESS = re.compile(r"(https?://)(?:[^\s/?#\"]*@)?([^\s?#'\"]*)(?:[?#][^\s'\"]*)?", re.IGNORECASE)


def bare_urls(text: str) -> str:
    """Give a text without what may be secret in the addresses that it names: user, password, query."""
    return _ADDRESS.sub(r"\1\2", text)


def bare_url(url: str) -> str:
    """Give an address, whatever it is, without what may be secret in it: user, password, query."""
    try:
        scheme, netloc, path, *_ = urlsplit(url)
    except ValueError:  # it is none, as whoever goes there will say
        return bare_urls(url).partition("?")[0]
    return urlunsplit((scheme, netloc.rpartition("@")[2], path, "", ""))


def public_url(url: str) -> str:
    """Give an address without what may be secret in it: a password, a query. A template stays as it is.

    Raises:
        DefinitionError: It is no http or https address.
    """
    if "${" in url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        msg = f"a server's url begins with http:// or https:// and names a host, got {url!r}"
        raise DefinitionError(msg)
    return bare_url(url)


def title_of(spec: Mapping[str, Any] | str) -> str:
    """Name an OpenAPI description: by its address or file, or by its title.

    Raises:
        DefinitionError: It is none.
    """
    if isinstance(spec, str):
        return public_url(spec) if spec.startswith(("http://", "https://")) else spec
    if not isinstance(spec, Mapping):
        msg = f"an OpenAPI description is a dict, a file or an address, got {type(spec).__name__} {spec!r}"
        raise DefinitionError(msg)
    info = spec.get("info")
    return str(info["title"]) if isinstance(info, Mapping) and info.get("title") else "openapi"


# --- mcpServers -------------------------------------------------------------------------------------------------------


def read_servers(config: Mapping[str, Any]) -> list[EnvRef]:
    """Read the servers of a configuration, with or without the key ``mcpServers`` around them.

    Raises:
        DefinitionError: There are none, or one is neither a command nor a url.
    """
    servers = config.get("mcpServers", config) if isinstance(config, Mapping) else config
    if not isinstance(servers, Mapping) or not servers:
        msg = f"an MCP configuration maps names to servers, got {type(servers).__name__} without any"
        raise DefinitionError(msg)
    return [EnvRef(str(name), "mcp", _server(str(name), server)) for name, server in servers.items()]


def _server(name: str, server: object) -> dict[str, Any]:
    """Give the options of a server; what a configuration says to other clients only is left out."""
    if not isinstance(server, Mapping) or bool(server.get("url")) == bool(server.get("command")):
        msg = f"MCP server {name!r} must have either a 'command' or a 'url'"
        raise DefinitionError(msg)
    keys = ("url", "headers") if server.get("url") else ("command", "args", "env", "cwd")
    options = {key: _given(server[key]) for key in (*keys, "connect_timeout") if server.get(key)}
    for key, value in options.items():
        if not isinstance(value, _KINDS[key]):
            msg = f"MCP server {name!r}: {key!r} is of the wrong type, {type(value).__name__}"
            raise DefinitionError(msg)
    if wrong := _wrong(options):
        raise DefinitionError(f"MCP server {name!r}: {wrong}")
    if token := server.get("auth"):
        options["headers"] = {**_bearer(name, token), **options.get("headers", {})}
    return options


def _wrong(options: Mapping[str, Any]) -> str:
    """Say what is wrong inside of options that are of the right types; a template may become anything."""
    url = options.get("url", "$")
    if "$" not in url and not url.startswith(("http://", "https://")):
        shown = url.partition("?")[0].rpartition("@")[2]  # what stands around it may be secret
        return f"'url' must begin with http:// or https://, got {shown!r}"
    for key in ("headers", "env"):
        for name, value in options.get(key, {}).items():
            if not isinstance(value, str):
                return f"{key!r} must map names to text, got {type(value).__name__} for {name!r}"
    return ""


def _given(value: Any) -> Any:  # noqa: ANN401  an option's value
    """Leave out what is null: rows of tables have a null where other rows have a header or a variable."""
    if isinstance(value, dict) and None in value.values():
        return {key: item for key, item in value.items() if item is not None}
    return value


def _bearer(name: str, token: object) -> dict[str, str]:
    if not isinstance(token, str) or token in _SCHEMES:
        msg = f"MCP server {name!r}: 'auth' must be a token; put anything else into 'headers'"
        raise DefinitionError(msg)
    return {"Authorization": token if token.lower().startswith("bearer ") else f"Bearer {token}"}


# --- digests ----------------------------------------------------------------------------------------------------------


def connection_digest(connection: Connection) -> str:
    """Give a digest of a connection: where it leads and which tools it takes, without anything secret."""
    from hud_core.environment.digests import code_digest, digest

    ref = connection.ref
    parts = [connection.name, ref.name, str(connection.prefix)]
    parts += [repr(None if names is None else sorted(names)) for names in (connection.include, connection.exclude)]
    if isinstance(ref, EnvRef):
        parts += [str(ref.backend), *(f"{key}={_visible(key, value)}" for key, value in sorted(ref.options.items()))]
    else:
        parts.append(_whole(ref))
    return digest(*parts, code_digest(connection.transform) if connection.transform else "")


def _visible(key: str, value: object) -> str:
    """Give what counts of an option, as text that is the same in every process."""
    import msgspec

    if key == "docker_args" and isinstance(value, list | tuple):
        value = [_nameless(str(word), str(before)) for before, word in zip(["", *value], value, strict=False)]
    if key in _SECRET:
        return repr(sorted(value)) if isinstance(value, Mapping) else ""
    if key in ("url", "base_url") and isinstance(value, str):
        return public_url(value)
    if callable(getattr(value, "digest", None)):
        return _whole(value)
    return msgspec.json.encode(value, order="sorted", enc_hook=lambda item: type(item).__qualname__).decode()


def _nameless(word: str, before: str) -> str:
    """Give a word of docker's arguments without the value of a variable: ``-e A=b``, ``-eA=b`` or ``--env=A=b``."""
    if before in ("-e", "--env"):
        return word.partition("=")[0]
    flag = next((flag for flag in ("--env=", "-e") if word.startswith(flag)), None)
    return word if flag is None else flag + word.removeprefix(flag).lstrip("=").partition("=")[0]


def _whole(environment: Any) -> str:  # noqa: ANN401  an Environment, which is not known here
    """Digest an environment with all of its scenarios: any of them may be run over a connection to it."""
    from hud_core.environment.digests import digest

    scenarios = sorted(environment.scenarios.items())
    return digest(environment.digest(), *(part for name, handle in scenarios for part in (name, *handle.digests)))
