"""Connections as they are declared: environments elsewhere whose tools and scenarios an environment joins to its own.

A connection is a reference and says which backend opens it. Nothing is opened before a rollout is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any, Self, TypedDict, Unpack

from attrs import Attribute, field, frozen

from hud_core.environment.references import public_url, read_servers, title_of
from hud_core.errors import DefinitionError
from hud_core.model.task import EnvRef, Recipe
from hud_core.model.tools import Tool

LOCAL = "__local__"
"""What ``exclude_sources`` calls the environment's own tools."""

Transform = Callable[[Tool], Tool | None]
"""Rewrites a tool, or drops it by returning None."""

_PREFIX = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _names(value: Iterable[str] | None) -> frozenset[str] | None:
    if isinstance(value, str):
        msg = f"include and exclude are lists of tool names, got the str {value!r}"
        raise DefinitionError(msg)
    return None if value is None else frozenset(value)


def _prefix(_: object, __: Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, str) and _PREFIX.fullmatch(value)):
        msg = f"a connection's prefix is 1 to 64 letters, digits, '_' or '-', got {value!r}"
        raise DefinitionError(msg)


@frozen(kw_only=True)
class Connection:
    """What `Environment.connect` was told."""

    name: str
    ref: EnvRef | Recipe = field(
        repr=lambda ref: f"<{getattr(ref, 'backend', None) or 'default'}>"
    )  # options are secret
    """Where it leads: a reference, or another environment of this process."""
    prefix: str | None = field(default=None, validator=_prefix)
    """Comes before each of its tools' names, as ``{prefix}_{tool}``; internal ones, ``_x``, stay as they are."""
    include: frozenset[str] | None = field(default=None, converter=_names)
    """The tools that are taken, by the names they have there; None takes all of them."""
    exclude: frozenset[str] | None = field(default=None, converter=_names)
    """The tools that are left out, by the names they have there."""
    transform: Transform | None = None
    """Rewrites each tool that is taken, before `prefix`; a renamed tool is called by its new name."""
    siblings: tuple[str, ...] = ()
    """The connections of one configuration, this one among them: an included tool may be at any of them."""


class Choices(TypedDict, total=False):
    """What each way to connect takes: which of the tools, and under which names."""

    prefix: str | None
    include: Iterable[str] | None
    exclude: Iterable[str] | None
    transform: Transform | None


class Connects:
    """The part of an environment that declares connections. Its methods only build references."""

    name: str
    connections: dict[str, Connection]

    def connect(self, ref: EnvRef | Recipe, *, alias: str | None = None, **choices: Unpack[Choices]) -> Self:
        """Join another environment: its tools, and its scenarios as ``{its name}:{scenario}``.

        Args:
            ref: Names the environment and the backend that opens it; or an `Environment` of this process.
            alias: The connection's name; that of `ref` by default.
            choices: ``prefix`` for its tools' names; ``include`` and ``exclude`` with the names its tools have there;
                ``transform``, a function that rewrites a tool, or drops it by returning None.

        Raises:
            DefinitionError: `ref` is neither, the name is taken, or a choice is wrong.
        """
        self._join([_connection(ref, alias, choices)])
        return self

    def connect_url(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        alias: str | None = None,
        connect_timeout: float | None = None,
        timeout: float | None = None,
        **choices: Unpack[Choices],
    ) -> Self:
        """Join an MCP server at an address.

        Args:
            url: Its endpoint.
            headers: Sent with every request, each as it stands; ``${VAR}`` in them is replaced when they are used.
            alias: The connection's name; the address by default.
            connect_timeout: Seconds until the server must have answered; 10 by default.
            timeout: Seconds that one request may take; 600 by default.
            choices: As for `connect`.

        Raises:
            DefinitionError: It is no address, or as for `connect`.
        """
        given = {"headers": dict(headers) if headers else None, "connect_timeout": connect_timeout, "timeout": timeout}
        options = {"url": url, **_only_given(given)}
        return self.connect(EnvRef(public_url(url), "mcp", options), alias=alias, **choices)

    def connect_mcp(self, config: Mapping[str, Any], *, alias: str | None = None, **choices: Unpack[Choices]) -> Self:
        """Join one server of an ``mcpServers`` configuration: ``{"files": {"command": "npx", "args": [...]}}``.

        Raises:
            DefinitionError: It is not one server, or neither a command nor a url.
        """
        servers = read_servers(config)
        if len(servers) != 1:
            msg = f"connect_mcp takes one server, got {len(servers)}; connect_mcp_config takes several"
            raise DefinitionError(msg)
        return self.connect(servers[0], alias=alias, **choices)

    def connect_mcp_config(self, mcp_config: Mapping[str, Any], **choices: Unpack[Choices]) -> Self:
        """Join every server of an ``mcpServers`` configuration, or none if one of them is wrong."""
        refs = read_servers(mcp_config)
        siblings = tuple(ref.name for ref in refs)
        self._join([_connection(ref, None, choices, siblings) for ref in refs])
        return self

    def connect_server(self, server: object, *, alias: str | None = None, **choices: Unpack[Choices]) -> Self:
        """Join a server object of this process: another environment, an MCP or FastMCP server, a FastAPI app."""
        if isinstance(server, Connects):
            return self.connect(server, alias=alias, **choices)
        name = getattr(server, "name", None) or getattr(server, "title", None) or type(server).__name__
        return self.connect(EnvRef(str(name), "mcp", {"object": server}), alias=alias, **choices)

    def connect_fastapi(
        self, app: object, *, name: str | None = None, include_hidden: bool = True, **choices: Unpack[Choices]
    ) -> Self:
        """Join the routes of a FastAPI app as tools.

        Args:
            app: The app.
            name: The connection's name; the app's title by default.
            include_hidden: Whether routes with ``include_in_schema=False`` are tools, too.
            choices: As for `connect`.
        """
        options = {"fastapi": app, "include_hidden": include_hidden}
        return self.connect(EnvRef(name or str(getattr(app, "title", "fastapi")), "mcp", options), **choices)

    def connect_openapi(
        self,
        openapi_spec: Mapping[str, Any] | str | PathLike[str],
        *,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
        timeout: float | None = None,
        **choices: Unpack[Choices],
    ) -> Self:
        """Join the operations of an OpenAPI description as tools.

        Args:
            openapi_spec: The description, or its file or address; JSON or YAML.
            base_url: Where the API is; what the description says by default.
            headers: Sent with every request.
            name: The connection's name; the description's title, file or address by default.
            timeout: Seconds that a request may take.
            choices: As for `connect`.

        Raises:
            DefinitionError: `base_url` is no address, the description is none of these, or as for `connect`.
        """
        if isinstance(openapi_spec, PathLike):
            openapi_spec = str(openapi_spec)
        if base_url is not None:
            public_url(base_url)  # says now what is wrong with it
        given = {"base_url": base_url, "headers": dict(headers) if headers else None, "timeout": timeout}
        options = {"openapi": openapi_spec, **_only_given(given)}
        return self.connect(EnvRef(name or title_of(openapi_spec), "mcp", options), **choices)

    def connect_image(
        self,
        image: str,
        *,
        alias: str | None = None,
        docker_args: Iterable[str] | None = None,
        env_vars: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        **choices: Unpack[Choices],
    ) -> Self:
        """Join the environment in a Docker image; a backend ``docker`` opens it, a container for each rollout.

        Args:
            image: Its name.
            alias: The connection's name; that of the image by default.
            docker_args: Flags of ``docker run``, as ``["-v", "/data:/data:ro"]``.
            env_vars: Variables in the container, which count more than those of the environment's ``.env`` file;
                ``${VAR}`` in them is replaced when a container is made.
            options: Other options of the backend, as ``{"egress": ["pypi.org"], "ready_timeout": 300}``.
            choices: As for `connect`.
        """
        given = {"docker_args": list(docker_args or ()) or None, "env_vars": dict(env_vars or {}) or None}
        options = {"env_file": True, **(options or {}), "image": image, **_only_given(given)}
        return self.connect(EnvRef(image, "docker", options), alias=alias, **choices)

    def connect_hub(self, slug: str, *, alias: str | None = None, **choices: Unpack[Choices]) -> Self:
        """Join an environment that a platform hosts; a backend ``platform`` opens it."""
        return self.connect(EnvRef(slug, "platform", {"slug": slug}), alias=alias, **choices)

    def _join(self, connections: list[Connection]) -> None:
        """Record connections, all of them or none."""
        joined = dict(self.connections)
        for connection in connections:
            if _leads_to(connection.ref, self):
                msg = f"environment {self.name!r} cannot be connected to itself, as {connection.name!r} would do"
                raise DefinitionError(msg)
            if connection.name in joined or connection.name == LOCAL:
                msg = (
                    f"environment {self.name!r} cannot have another connection {connection.name!r}; "
                    "give this one a name of its own: alias= (name= for an API)"
                )
                raise DefinitionError(msg)
            joined[connection.name] = connection
        self.connections.update(joined)


def _leads_to(ref: EnvRef | Recipe, environment: Connects) -> bool:
    """Whether an environment is another one, or is connected to it."""
    inner = ref.connections.values() if isinstance(ref, Connects) else ()
    return ref is environment or any(_leads_to(connection.ref, environment) for connection in inner)


def _only_given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _connection(ref: object, alias: str | None, choices: Choices, siblings: tuple[str, ...] = ()) -> Connection:
    if not isinstance(ref, EnvRef | Connects):
        msg = f"connect takes an EnvRef or an Environment, got {type(ref).__name__}; connect_server takes other servers"
        raise DefinitionError(msg)
    name = alias or ref.name
    if unknown := choices.keys() - Choices.__annotations__.keys():
        msg = (
            f"connection {name!r}: unknown {', '.join(sorted(unknown))}; there are {', '.join(Choices.__annotations__)}"
        )
        raise DefinitionError(msg)
    return Connection(name=name, ref=ref, siblings=siblings or (name,), **choices)
