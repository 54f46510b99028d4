"""The prompts and resources of one session: the environment's own and those of its connections.

They are for people and for scenario code. Agents of a job see tools, and none of these.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import anyio
from attrs import evolve

from hud_core.environment.routing import PROMPTS, RESOURCES, ConflictResolution, Route, routed
from hud_core.errors import BackendError, ConfigError, ToolError, closest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from hud_core.environment.connections import Connection
    from hud_core.model.content import Prompt, ResourceContent
    from hud_core.model.publications import ListedPrompt, ListedResource

T = TypeVar("T")


class UnknownPublicationError(ConfigError):
    """There is no such prompt or resource.

    Args:
        kind: What was asked for: ``prompt`` or ``resource``.
        name: Its name or address.
        known: Those that there are.
    """

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}{closest(name, known)}; there are {', '.join(known) or 'none'}")


class Publications(Protocol):
    """**Protocol:** the prompts and resources of one live environment. Scenarios are none of them."""

    async def list_prompts(self) -> Sequence[ListedPrompt]:
        """List the prompts."""

    async def list_resources(self) -> Sequence[ListedResource]:
        """List the resources, and templates of resources."""

    async def get_prompt(self, name: str, arguments: Mapping[str, Any]) -> Prompt:
        """Give a prompt.

        Raises:
            UnknownPublicationError: There is no such prompt.
            ToolError: The environment refused, or failed.
            BackendError: It is lost.
        """

    async def read_resource(self, uri: str) -> Sequence[ResourceContent]:
        """Read a resource; it may have several parts.

        Raises:
            UnknownPublicationError: There is no such resource.
            ToolError: The environment refused, or failed.
            BackendError: It is lost.
        """


class Source(NamedTuple):
    """What one connection publishes. Functions, for the reason that `joined.Source` gives."""

    name: str
    prefix: str
    prompts: Callable[[], Awaitable[Sequence[ListedPrompt]]]
    resources: Callable[[], Awaitable[Sequence[ListedResource]]]
    prompt: Callable[[str, Mapping[str, Any]], Awaitable[Prompt]]
    read: Callable[[str], Awaitable[Sequence[ResourceContent]]]


def source_of(connection: Connection, published: Publications) -> Source:
    """Make a source of what a connection publishes."""
    return Source(
        connection.name,
        f"{connection.prefix}_" if connection.prefix else "",
        lambda: published.list_prompts(),  # noqa: PLW0108  from a method, its object is one attribute away
        lambda: published.list_resources(),  # noqa: PLW0108  as above
        lambda name, arguments: published.get_prompt(name, arguments),  # noqa: PLW0108  as above
        lambda uri: published.read_resource(uri),  # noqa: PLW0108  as above
    )


class JoinedPublications:
    """The prompts and resources of a session and of its connections.

    A prompt of a connection has the connection's prefix; a resource keeps its address, by which results of tools name
    it. Where two have one name or address, the session's own wins; otherwise what the environment says of tools holds.

    Args:
        own: The environment's own; None where it publishes nothing.
        sources: What its connections publish.
        strategy: What to do where two connections have one name or address.
        hidden: Gives the connections that whoever is asking may not see.
    """

    def __init__(
        self,
        own: Publications | None,
        sources: Iterable[Source],
        strategy: ConflictResolution,
        hidden: Callable[[], Collection[str]],
    ) -> None:
        self._own = own
        self._sources = {source.name: source for source in sources}
        self._strategy = strategy
        self._hidden = hidden
        self._prompts: dict[str, Route[ListedPrompt]] = {}
        self._resources: dict[str, Route[ListedResource]] = {}

    async def list_prompts(self) -> Sequence[ListedPrompt]:
        """List the prompts, as all connections list them now.

        Raises:
            BackendError: A connection is lost.
            ConfigError: Two connections have one name or address, and that is an error.
        """
        own = await self._own.list_prompts() if self._own is not None else ()
        listed = await self._listed(lambda source: source.prompts())
        routes = [
            Route(name, evolve(prompt, name=self._sources[name].prefix + prompt.name), prompt.name)
            for name, prompts in listed.items()
            for prompt in prompts
        ]
        self._prompts = routed(PROMPTS, [prompt.name for prompt in own], routes, self._strategy)
        return [*own, *self._shown(self._prompts)]

    async def list_resources(self) -> Sequence[ListedResource]:
        """List the resources and templates, as all connections list them now.

        Raises:
            BackendError: A connection is lost.
            ConfigError: Two connections have one name or address, and that is an error.
        """
        own = await self._own.list_resources() if self._own is not None else ()
        listed = await self._listed(lambda source: source.resources())
        routes = [Route(name, found, found.uri) for name, resources in listed.items() for found in resources]
        self._resources = routed(RESOURCES, [found.uri for found in own], routes, self._strategy)
        return [*own, *self._shown(self._resources)]

    async def get_prompt(self, name: str, arguments: Mapping[str, Any]) -> Prompt:
        """Give a prompt, the environment's own or a connection's; errors as for `Publications.get_prompt`."""
        if self._own is not None and any(prompt.name == name for prompt in await self._own.list_prompts()):
            return await self._own.get_prompt(name, arguments)
        if name not in self._prompts:
            await self.list_prompts()
        route = self._prompts.get(name)
        if route is None or route.source in self._hidden():
            raise UnknownPublicationError("prompt", name, [prompt.name for prompt in await self.list_prompts()])
        return await self._sources[route.source].prompt(route.remote, arguments)

    async def read_resource(self, uri: str) -> Sequence[ResourceContent]:
        """Read a resource, the environment's own or a connection's; errors as for `Publications.read_resource`."""
        if (
            self._own is not None
            and leading(uri, {one.uri: one for one in await self._own.list_resources()}) is not None
        ):
            return await self._own.read_resource(uri)
        if leading(uri, self._resources) is None:
            await self.list_resources()
        found = leading(uri, self._resources)
        route = None if found is None else self._resources[found]
        if found is None or route is None or route.source in self._hidden():
            raise UnknownPublicationError("resource", uri, [one.uri for one in await self.list_resources()])
        return await self._sources[route.source].read(uri.removeprefix(found.removesuffix(route.remote)))

    async def _listed(self, ask: Callable[[Source], Awaitable[Sequence[T]]]) -> dict[str, Sequence[T]]:
        """Ask all connections at once; give their answers in the connections' order."""
        answers: dict[str, Sequence[T]] = dict.fromkeys(self._sources, ())
        failures: list[Exception] = []

        async def collect(source: Source) -> None:
            try:
                answers[source.name] = await ask(source)
            except (BackendError, ConfigError, ToolError) as error:
                failures.append(error)

        async with anyio.create_task_group() as asking:
            for source in self._sources.values():
                asking.start_soon(collect, source)
        if failures:
            raise failures[0]
        return answers

    def _shown(self, routes: Mapping[str, Route[T]]) -> list[T]:
        hidden = self._hidden()
        return [route.item for route in routes.values() if route.source not in hidden]


def leading(uri: str, known: Mapping[str, Any]) -> str | None:
    """Find the address or template that leads to a URI, an exact one first; None where there is none.

    It is generous with templates: whoever has them knows better.
    """
    if uri in known:
        return uri
    templates = (found for found in known if "{" in found)
    return next((one for one in templates if re.fullmatch(_pattern(one), uri, re.DOTALL)), None)


def _pattern(template: str) -> str:
    return ".+".join(map(re.escape, re.split(r"\{[^}]*\}", template)))


def nothing() -> Publications:
    """Give what an environment publishes that publishes nothing."""
    return JoinedPublications(None, (), ConflictResolution.ERROR, tuple)
