"""The tools of one session, its own and those of its connections, under the names that agents call them by."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import anyio
from attrs import evolve

from hud_core.environment.connections import LOCAL
from hud_core.environment.publications import JoinedPublications, source_of
from hud_core.environment.routing import TOOLS, ConflictResolution, Route, routed
from hud_core.environment.session import unknown_text, unknown_tool
from hud_core.environment.tools import LocalTools, current_tools, hidden_by
from hud_core.errors import BackendError, ConfigError, closest, describe
from hud_core.model.tools import Tool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from hud_core.environment.connections import Connection
    from hud_core.environment.mocks import MockRun
    from hud_core.environment.publications import Publications
    from hud_core.environment.publications import Source as PublicationSource
    from hud_core.environment.scenario import ScenarioOptions
    from hud_core.environment.session import Told, Tools
    from hud_core.environment.tools import ToolFunction
    from hud_core.model.tools import ToolCall, ToolResult

HARNESS = "_hud_"
"""How the tools begin that are the harness's; what a connection calls so is not taken."""


class Source:
    """One connection's tools, and what is taken of them. Knows neither the connection's reference nor its session.

    The tools are the ends of a connection, which may hold keys; here they are kept inside functions. Whoever has a
    toolbox reaches this object by its attributes, and the connection no further than that.
    """

    def __init__(self, connection: Connection, tools: Tools) -> None:
        self.name: str = connection.name
        # Not the methods themselves: from a method, its object is one attribute away.
        self.call: Callable[[ToolCall], Awaitable[ToolResult]] = lambda call: tools.call_tool(call)  # noqa: PLW0108  as said
        self.offered: frozenset[str] = frozenset()
        """The names of all the tools there are, taken or not."""
        self.routes: list[Route[Tool]] = []
        """Those that are taken."""
        self._list: Callable[[], Awaitable[Sequence[Tool]]] = lambda: tools.list_tools()  # noqa: PLW0108  as above
        self._now: Callable[[], int | None] = lambda: getattr(tools, "revision", None)
        self.follow: Callable[[Told], None] = lambda told: getattr(tools, "follow", _follow_nothing)(told)  # noqa: PLW0108  as above
        """Has a function called when one of the lists there changes."""
        publications = getattr(tools, "publications", None)
        self.published: PublicationSource | None = None if publications is None else source_of(connection, publications)
        """What the connection publishes beside its tools."""
        self._include = connection.include
        self._exclude = connection.exclude or frozenset()
        self._prefix = f"{connection.prefix}_" if connection.prefix else ""
        self._transform = connection.transform
        self._revision: int | None = None

    @property
    def has_changed(self) -> bool:
        """Whether the list is known to have changed since it was read."""
        return self._now() != self._revision

    @property
    def may_have_changed(self) -> bool:
        """Whether the list has changed, or nobody can tell."""
        return self.has_changed or self._revision is None

    async def read(self) -> None:
        """Read the list.

        Raises:
            BackendError: The connection is lost.
            ConfigError: A tool's transform fails.
        """
        revision = self._now()
        tools = await self._list()
        self.offered = frozenset(tool.name for tool in tools)
        taken = {tool.name: self._take(tool) for tool in tools if self._is_wanted(tool.name)}
        self.routes = [Route(self.name, tool, remote) for remote, tool in taken.items() if tool is not None]
        self._revision = revision

    def _is_wanted(self, name: str) -> bool:
        return (
            not name.startswith(HARNESS)
            and name not in self._exclude
            and (self._include is None or name in self._include)
        )

    def _take(self, tool: Tool) -> Tool | None:
        """Give a tool under its name here; None drops it."""
        changed = tool if self._transform is None else self._transformed(tool)
        if changed is None:
            return None
        name = changed.name if changed.name.startswith("_") else self._prefix + changed.name
        return None if name.startswith(HARNESS) else evolve(changed, name=name)

    def _transformed(self, tool: Tool) -> Tool | None:
        assert self._transform is not None  # noqa: S101  the only caller has looked
        own = evolve(tool, input_schema=deepcopy(tool.input_schema), meta=deepcopy(tool.meta))
        try:
            changed = self._transform(own)
        except Exception as error:
            msg = f"connection {self.name!r}: transform failed for tool {tool.name!r}: {describe(error)}"
            raise ConfigError(msg) from error
        if changed is not None and not isinstance(changed, Tool):
            msg = f"connection {self.name!r}: transform must return a Tool or None, got {changed!r}"
            raise ConfigError(msg)
        return changed


class JoinedTools(LocalTools):
    """The tools of one session and of its connections. Holds names, tools and filters: no reference, no session.

    Args:
        functions: The environment's own tools.
        sources: Those of its connections.
        strategy: What to do where two connections offer a tool of one name.
        mocks: Results that tools give instead of running.
        own: The environment's own prompts and resources.
    """

    __slots__ = ("_options", "_routes", "_sources", "_strategy")

    def __init__(
        self,
        functions: Mapping[str, ToolFunction],
        sources: Iterable[Source],
        strategy: ConflictResolution,
        mocks: MockRun | None = None,
        own: Publications | None = None,
    ) -> None:
        self._sources = {source.name: source for source in sources}
        published = [source.published for source in self._sources.values() if source.published is not None]
        super().__init__(functions, mocks, JoinedPublications(own, published, strategy, self._hidden_sources))
        self._strategy = strategy
        self._routes: dict[str, Route[Tool]] = {}
        self._options: ScenarioOptions | None = None

    async def read(self) -> None:
        """Read the lists of all connections.

        Raises:
            BackendError: A connection is lost.
            ConfigError: Two connections offer a tool of one name and that is an error, or a transform fails.
        """
        await self._read(list(self._sources.values()))

    async def _read(self, sources: Sequence[Source]) -> None:
        if not sources:
            return
        failures: list[Exception] = []

        async def read(source: Source) -> None:
            try:
                await source.read()
            except (BackendError, ConfigError) as error:
                failures.append(error)

        async with anyio.create_task_group() as reading:
            for source in sources:
                reading.start_soon(read, source)
        if failures:
            raise failures[0]
        self._routes = routed(TOOLS, self._functions, self._offered(), self._strategy)
        self.hide(self._options)

    def _offered(self) -> Iterator[Route[Tool]]:
        return (route for source in self._sources.values() for route in source.routes)

    def check_names(self, connections: Iterable[Connection]) -> None:
        """See that the tools exist which connections include or exclude, and mocks name.

        Raises:
            ConfigError: One does not; the message names what is near.
        """
        for connection in connections:
            offered = {name for sibling in connection.siblings for name in self._sources[sibling].offered}
            for verb, names in (("include", connection.include), ("exclude", connection.exclude)):
                for name in sorted((names or frozenset()) - offered):
                    known = ", ".join(sorted(offered)) or "no tools"
                    msg = f"connection {connection.name!r} has no tool {name!r} to {verb}{closest(name, offered)}"
                    raise ConfigError(f"{msg}; it has {known}")
        if self.mocks is not None and (problem := self.mocks.missing([*self._functions, *self._routes])):
            raise ConfigError(problem)

    # --- as a session's tools -----------------------------------------------------------------------------------------

    def hide(self, options: ScenarioOptions | None) -> None:
        """Leave tools out of the list, as the running scenario asks; also those that connections offer later."""
        self._options = options
        sources = {name: route.source for name, route in self._routes.items()}
        self._hidden = hidden_by(options, {**sources, **dict.fromkeys(self._functions, LOCAL)})

    def _hidden_sources(self) -> Collection[str]:
        """Name the connections that are hidden from whoever is asking; none is from this session's own code."""
        return () if self._options is None or current_tools.get() is self else self._options.exclude_sources

    def known(self) -> list[Tool]:
        """Give the tools that the running scenario shows, as the connections listed them last."""
        joined = [route.item for name, route in self._routes.items() if name not in self._hidden]
        return super().known() + joined

    async def list_tools(self) -> Sequence[Tool]:
        """List the tools that the running scenario shows.

        Raises:
            BackendError: A connection is lost, or its tools have changed and do not fit the others any more.
        """
        await self._follow([source for source in self._sources.values() if source.may_have_changed])
        return self.known()

    def follow(self, told: Told) -> None:
        """Have `told` called when a connection says that one of its lists changed."""
        for source in self._sources.values():
            source.follow(told)

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Call a tool, here or at its connection.

        Raises:
            BackendError: The connection is lost.
        """
        if call.name in self._functions:
            return await super().call_tool(call)
        await self._follow([source for source in self._sources.values() if source.has_changed])
        if call.name not in self._routes:
            await self._follow([source for source in self._sources.values() if source.may_have_changed])
        route = self._routes.get(call.name)
        if route is None or self._is_hidden(call.name):
            return unknown_tool(call, [tool.name for tool in self.known()])
        if self.mocks is not None and (mocked := self.mocks.result(call)) is not None:
            return mocked
        return await self._pass_on(call, route)

    async def _pass_on(self, call: ToolCall, route: Route[Tool]) -> ToolResult:
        there = evolve(call, name=route.remote)
        result = await self._sources[route.source].call(there)
        if result.is_error and result.text.startswith(unknown_text(there)):  # it would name tools that are not taken
            return unknown_tool(call, [tool.name for tool in self.known() if tool.name != call.name])
        return result

    async def _follow(self, sources: Sequence[Source]) -> None:
        """Read lists again, in the middle of a rollout."""
        try:
            await self._read(sources)
        except ConfigError as error:
            msg = f"the tools of a connection changed: {error}"
            raise BackendError(msg) from error


def _follow_nothing(_: Told) -> None:
    """Tell nobody of changes: those tools do not know of any."""
