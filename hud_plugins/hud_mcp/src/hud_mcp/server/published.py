"""Resources and prompts that an environment publishes beside its tools and scenarios."""

from __future__ import annotations

import base64
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import anyio.to_thread
import mcp_types as types
import msgspec
from attrs import field, frozen

from hud_core.environment.json_codec import encode
from hud_core.environment.publications import UnknownPublicationError
from hud_core.environment.signature import Signature
from hud_core.environment.values import prompt_from
from hud_core.errors import DefinitionError
from hud_core.model.content import Prompt, ResourceContent
from hud_core.model.publications import ListedPrompt, ListedResource
from hud_mcp.client.convert import arguments_to, contents_from, listed_prompt
from hud_mcp.server.arguments import read_arguments
from hud_mcp.server.convert import mcp_contents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.environment.environment import Environment

F = TypeVar("F", bound="Callable[..., Any]")

_HOLE = re.compile(r"\{([A-Za-z_]\w*)(\*?)\}")


@frozen(kw_only=True)
class PublishedResource:
    """A document behind a URI, or behind every URI of a template like ``notes://{id}``."""

    uri: str
    name: str
    description: str
    mime_type: str | None
    function: Callable[..., Any]
    signature: Signature

    @property
    def is_template(self) -> bool:
        """Whether the URI has parameters."""
        return _HOLE.search(self.uri) is not None

    def match(self, uri: str) -> dict[str, str] | None:
        """Give the parameters of a URI; None where it is not this resource's."""
        if not self.is_template:
            return {} if uri == self.uri else None
        found = re.fullmatch(_pattern(self.uri), uri)
        return None if found is None else {name: unquote(text) for name, text in found.groupdict().items()}

    async def read(self, uri: str, arguments: dict[str, str]) -> types.ReadResourceResult:
        """Call the function; what it returns is the document."""
        value = await invoke(self.function, self.signature.bind(read_arguments(self.signature, arguments)))
        return types.ReadResourceResult(contents=[mcp_contents(_document(uri, value, self.mime_type))])


@frozen(kw_only=True)
class PublishedPrompt:
    """A prompt that people choose in a client; not a scenario."""

    name: str
    title: str | None
    description: str
    function: Callable[..., Any]
    signature: Signature

    def describe(self) -> types.Prompt:
        """Describe the prompt and its arguments."""
        properties = self.signature.schema["properties"]
        arguments = [
            types.PromptArgument(name=p.name, description=properties[p.name].get("description"), required=p.is_required)
            for p in self.signature.parameters.values()
        ]
        return types.Prompt(name=self.name, title=self.title, description=self.description, arguments=arguments)

    async def get(self, arguments: dict[str, str]) -> Prompt:
        """Call the function; it returns what a scenario's first yield may be."""
        return prompt_from(await invoke(self.function, self.signature.bind(read_arguments(self.signature, arguments))))


@frozen
class Published:
    """What one environment publishes."""

    resources: dict[str, PublishedResource] = field(factory=dict)
    prompts: dict[str, PublishedPrompt] = field(factory=dict)

    async def list_prompts(self) -> list[ListedPrompt]:
        """List the prompts."""
        return [listed_prompt(prompt.describe()) for prompt in self.prompts.values()]

    async def list_resources(self) -> list[ListedResource]:
        """List the resources and templates."""
        return [
            ListedResource(
                uri=one.uri,
                name=one.name,
                description=one.description,
                mimeType=one.mime_type,
                is_template=one.is_template,
            )
            for one in self.resources.values()
        ]

    async def get_prompt(self, name: str, arguments: Mapping[str, Any]) -> Prompt:
        """Give a prompt; arguments that are no text are given as JSON.

        Raises:
            UnknownPublicationError: There is no such prompt.
        """
        found = self.prompts.get(name)
        if found is None:
            raise UnknownPublicationError("prompt", name, list(self.prompts))
        return await found.get(arguments_to(arguments))

    async def read_resource(self, uri: str) -> list[ResourceContent]:
        """Read a resource.

        Raises:
            UnknownPublicationError: There is no such resource.
        """
        found = self.find_resource(uri)
        if found is None:
            raise UnknownPublicationError("resource", uri, list(self.resources))
        resource, arguments = found
        return contents_from(await resource.read(uri, arguments))

    def find_resource(self, uri: str) -> tuple[PublishedResource, dict[str, str]] | None:
        """Find the resource of a URI, an exact one before a template."""
        for resource in sorted(self.resources.values(), key=lambda resource: resource.is_template):
            arguments = resource.match(uri)
            if arguments is not None:
                return resource, arguments
        return None


def published(environment: Environment) -> Published:
    """Give what an environment publishes; it is kept with the environment itself."""
    if not isinstance(environment.published, Published):
        environment.published = Published()
    return environment.published


def resource(
    environment: Environment,
    uri: str,
    *,
    name: str | None = None,
    description: str | None = None,
    mime_type: str | None = None,
) -> Callable[[F], F]:
    """Publish what a function returns as a document: text, bytes, or data as JSON.

    Raises:
        DefinitionError: The URI is taken, or its parameters are not the function's.
    """

    def publish(function: F) -> F:
        signature = Signature(f"resource {uri!r}", function)
        _check_resource(environment, uri, signature)
        published(environment).resources[uri] = PublishedResource(
            uri=uri,
            name=name or _name(function),
            description=signature.description if description is None else description,
            mime_type=mime_type,
            function=function,
            signature=signature,
        )
        return function

    return publish


def prompt(
    environment: Environment,
    function: Callable[..., Any] | str | None = None,
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
) -> Any:  # noqa: ANN401  the function itself, or a decorator
    """Publish a prompt: ``@env.prompt``, ``@env.prompt()`` or ``@env.prompt("name")``.

    Raises:
        DefinitionError: The name is taken or looks like a scenario's.
    """
    if not callable(function):
        return partial(prompt, environment, name=function or name, title=title, description=description)
    chosen = name or _name(function)
    if ":" in chosen or chosen in published(environment).prompts:
        msg = f"prompt name {chosen!r} must be new, and without the ':' that scenarios have"
        raise DefinitionError(msg)
    signature = Signature(f"prompt {chosen!r}", function)
    published(environment).prompts[chosen] = PublishedPrompt(
        name=chosen,
        title=title,
        description=signature.description if description is None else description,
        function=function,
        signature=signature,
    )
    return function


async def invoke(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:  # noqa: ANN401  what it returns
    """Call a function, a sync one in a worker thread."""
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    return await anyio.to_thread.run_sync(partial(function, **arguments), abandon_on_cancel=True)


def _check_resource(environment: Environment, uri: str, signature: Signature) -> None:
    holes = {match[1] for match in _HOLE.finditer(uri)}
    if uri in published(environment).resources:
        msg = f"environment {environment.name!r} already has a resource {uri!r}"
        raise DefinitionError(msg)
    if holes - signature.parameters.keys() or {
        name for name, parameter in signature.parameters.items() if parameter.is_required and name not in holes
    }:
        msg = f"resource {uri!r} must have the parameters of its function: {', '.join(signature.parameters) or 'none'}"
        raise DefinitionError(msg)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _pattern(template: str) -> str:
    """Make a pattern of a template: ``{name}`` is one piece of a path, ``{name*}`` any number of them."""
    pieces: list[str] = []
    end = 0
    for hole in _HOLE.finditer(template):
        pieces += [re.escape(template[end : hole.start()]), f"(?P<{hole[1]}>{'.+' if hole[2] else '[^/]+'})"]
        end = hole.end()
    return "".join([*pieces, re.escape(template[end:])])


def _document(uri: str, value: Any, mime_type: str | None) -> ResourceContent:  # noqa: ANN401  what users return
    if isinstance(value, ResourceContent):
        return value
    if isinstance(value, bytes):
        return ResourceContent(uri=uri, data=base64.b64encode(value).decode(), mimeType=mime_type)
    if isinstance(value, str):
        return ResourceContent(uri=uri, text=value, mimeType=mime_type or "text/plain")
    text = msgspec.json.encode(value, enc_hook=encode).decode()
    return ResourceContent(uri=uri, text=text, mimeType=mime_type or "application/json")
