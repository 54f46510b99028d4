"""Prompts, resources and scenarios of connected servers, passed on to a server's clients."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import mcp_types as types
import msgspec

from hud_core.environment.publications import UnknownPublicationError, nothing
from hud_mcp.server.convert import mcp_contents, mcp_listed, mcp_messages, mcp_prompt
from hud_mcp.server.published import Published, published
from hud_mcp.server.requests import Used, edition_of, handle_of, owner_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mcp.server.context import ServerRequestContext

    from hud_core.environment.publications import Publications
    from hud_core.model.publications import ListedPrompt
    from hud_mcp.server.run import ServerRun

    Context = ServerRequestContext[ServerRun, Any]


async def connected_prompts(ctx: Context) -> list[types.Prompt]:
    """List the prompts of the connections, of those that the client's episode shows where it has one."""
    with _publications(ctx) as (own, joined):
        return [mcp_prompt(one) for one in await joined.list_prompts() if one.name not in own.prompts]


async def connected_prompt(ctx: Context, name: str, arguments: dict[str, str]) -> types.GetPromptResult | None:
    """Give a prompt of a connection; None where none has it."""
    with _publications(ctx) as (_, joined):
        try:
            return types.GetPromptResult(messages=mcp_messages(await joined.get_prompt(name, arguments)))
        except UnknownPublicationError:
            return None


async def connected_resources(ctx: Context) -> list[types.Resource | types.ResourceTemplate]:
    """List the resources and templates of the connections, as `connected_prompts` does."""
    with _publications(ctx) as (own, joined):
        return [mcp_listed(one) for one in await joined.list_resources() if one.uri not in own.resources]


async def connected_resource(ctx: Context, uri: str) -> types.ReadResourceResult | None:
    """Give a resource of a connection; None where none has it."""
    with _publications(ctx) as (_, joined):
        try:
            return types.ReadResourceResult(contents=[mcp_contents(part) for part in await joined.read_resource(uri)])
        except UnknownPublicationError:
            return None


async def has_connected(ctx: Context, ref: types.PromptReference | types.ResourceTemplateReference) -> bool:
    """Whether a connection has a prompt, or a resource template."""
    if isinstance(ref, types.PromptReference):
        return ref.name in [prompt.name for prompt in await connected_prompts(ctx)]
    return ref.uri in [getattr(one, "uri_template", None) for one in await connected_resources(ctx)]


async def connected_scenarios(ctx: Context) -> list[ListedPrompt]:
    """Describe the scenarios of the connections, which run there."""
    edition = edition_of(ctx)
    if not edition.environment.connections:
        return []
    with edition.used():
        return await edition.session.connected_scenarios()


async def connected_scenario(ctx: Context, name: str) -> ListedPrompt | None:
    """Find a scenario of a connection by its name; None where none has it."""
    return next((one for one in await connected_scenarios(ctx) if one.name == name), None)


async def is_connected_scenario(ctx: Context, name: str) -> bool:
    """Whether a connection has a scenario, or had it when the client's episode of it began."""
    episode = ctx.lifespan_context.episodes.find(handle_of(ctx), owner_of(ctx))
    if episode is not None and episode.scenario == name:
        return True
    return await connected_scenario(ctx, name) is not None


def read_texts(scenario: ListedPrompt, given: Mapping[str, str]) -> dict[str, Any]:
    """Read the arguments of a connection's scenario, which are text, as JSON where its parameter takes no text."""
    described = scenario.meta.get("arguments")
    kinds = {one.get("name"): one.get("type") for one in described or () if isinstance(one, dict)}
    return {name: text if kinds.get(name) in ("string", None) else _json(text) for name, text in given.items()}


def _json(text: str) -> Any:  # noqa: ANN401  JSON data
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return text  # its server says what is wrong with it


@contextmanager
def _publications(ctx: Context) -> Iterator[tuple[Published, Publications]]:
    """Give the environment's own, and all of them."""
    with Used(ctx) as session:
        joined = session.tools.publications if session.environment.connections else None
        yield published(session.environment), joined or nothing()
