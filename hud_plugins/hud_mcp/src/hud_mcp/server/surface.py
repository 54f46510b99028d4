"""What a server answers: tools to everybody, scenarios to harnesses."""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import mcp_types as types
import msgspec
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from hud_core.environment.session import Toolbox, unknown_tool
from hud_core.errors import ConfigError
from hud_core.model.tools import ToolCall
from hud_mcp import wire
from hud_mcp.callers import current_caller
from hud_mcp.server import rounds
from hud_mcp.server.arguments import read_arguments
from hud_mcp.server.asking import LEVEL, Caller
from hud_mcp.server.completion import complete
from hud_mcp.server.convert import (
    evaluation_data,
    listed_scenario_resource,
    mcp_messages,
    mcp_prompt,
    mcp_result,
    mcp_tool,
    option_meta,
    prompt_meta,
    scenario_prompt,
    scenario_resource,
    wire_block,
)
from hud_mcp.server.episodes import Episode
from hud_mcp.server.passing import (
    connected_prompt,
    connected_prompts,
    connected_resource,
    connected_resources,
    connected_scenario,
    connected_scenarios,
    has_connected,
    is_connected_scenario,
    read_texts,
)
from hud_mcp.server.published import published
from hud_mcp.server.refusals import UnknownResourceError, refusal, told
from hud_mcp.server.requests import (
    Used,
    address_of,
    answer_of,
    can_be_asked,
    edition_of,
    environment_of,
    episode_of,
    handle_of,
    owner_of,
    whole_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from hud_core.environment.live import LiveSession
    from hud_core.environment.scenario import ScenarioHandle
    from hud_core.model.tools import ToolResult
    from hud_mcp.server.published import PublishedPrompt, PublishedResource
    from hud_mcp.server.run import ServerRun

    Context = ServerRequestContext[ServerRun, Any]

_ALWAYS_SERVED = ("ping", "server/discover")
"""Requests that do not wait for the environment's initialize functions."""


class Surface:
    """Answers the requests of both protocol eras.

    Args:
        harness: The capability that requests of harnesses must show; None lets every client set up and grade.
    """

    def __init__(self, harness: str | None) -> None:
        self._harness = harness

    async def admit(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Serve a request once the environment is initialised; say in it what went wrong."""
        run = ctx.lifespan_context
        if ctx.method == "notifications/initialized":
            run.add(ctx.session._connection)  # noqa: SLF001  the SDK has no public way to see a connection close
        if ctx.request_id is None:
            return await call_next(ctx)
        try:
            edition = edition_of(ctx)
            if not edition.is_ready and ctx.method not in _ALWAYS_SERVED:
                with told("initialize"):
                    await edition.start()
            return await self._answer(ctx, call_next)
        except Exception as error:
            if type(error).__module__.startswith("pydantic"):  # malformed parameters: the SDK knows what to answer
                raise
            raise refusal(error) from error

    async def _answer(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Answer a request whose code may speak to the client."""
        run = ctx.lifespan_context
        if ctx.method not in rounds.METHODS:
            return await call_next(ctx)
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and can_be_asked(ctx):
            return await run.rounds.run(ctx, call_next)
        caller = Caller(ctx)
        token = current_caller.set(caller)
        try:
            return await call_next(ctx)
        finally:
            caller.is_open = False
            current_caller.reset(token)

    async def set_level(self, ctx: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        """Send the client only log lines of this level and above."""
        ctx.session._connection.state[LEVEL] = params.level  # noqa: SLF001  the SDK has no public way to keep it
        return types.EmptyResult()

    # --- tools --------------------------------------------------------------------------------------------------------

    async def list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """List the tools that an agent may call."""
        del params
        with Used(ctx) as session:
            tools = await Toolbox(session.tools).list_tools()
        return types.ListToolsResult(tools=[mcp_tool(tool) for tool in tools])

    async def call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """Call a tool of the client's episode, or of the environment where it has none."""
        call = ToolCall(params.name, params.arguments or {})
        if call.name == wire.SUBMIT and self._is_harness(ctx):
            return self._submit(ctx, call)
        with Used(ctx) as session:
            result = await self._call(ctx, session, call)
        caller = current_caller.get()
        if result.is_error and caller is not None and caller.refused is not None:
            raise caller.refused  # the protocol has an error of its own for that
        return mcp_result(result, objects_only=ctx.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS)

    async def _call(self, ctx: Context, session: LiveSession, call: ToolCall) -> ToolResult:
        toolbox = Toolbox(session.tools)
        if not call.name.startswith("_"):
            return await toolbox.call_tool(call)
        if self._is_harness(ctx):  # internal tools: nobody sees them, and the harness may call them by name
            return await session.tools.call_tool(call)
        return unknown_tool(call, [tool.name for tool in await toolbox.list_tools()])

    # --- scenarios ----------------------------------------------------------------------------------------------------

    async def list_prompts(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        """List the environment's prompts, and to harnesses its scenarios."""
        del params
        environment = edition_of(ctx).environment
        prompts = [prompt.describe() for prompt in published(environment).prompts.values()]
        if self._is_harness(ctx):
            prompts += [scenario_prompt(environment.name, handle) for handle in environment.scenarios.values()]
            prompts += [mcp_prompt(one) for one in await connected_scenarios(ctx)]
        return types.ListPromptsResult(prompts=prompts + await connected_prompts(ctx))

    async def get_prompt(self, ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        """Give a prompt; a scenario's sets up an episode."""
        edition = edition_of(ctx)
        arguments = params.arguments or {}
        found = published(edition.environment).prompts.get(params.name)
        if found is not None:
            with edition.used(), told(f"prompt {params.name!r}"):
                prompt = await found.get(dict(arguments))
            return types.GetPromptResult(description=found.description, messages=mcp_messages(prompt))
        handle, whole = self._scenario(ctx, params.name), whole_arguments(ctx)
        if handle is not None:
            data = read_arguments(handle.signature, arguments) if whole is None else whole
            return await self._set_up(ctx, handle.name, handle.description, data, option_meta(handle))
        if self._is_harness(ctx) and (elsewhere := await connected_scenario(ctx, params.name)) is not None:
            data = read_texts(elsewhere, arguments) if whole is None else whole
            return await self._set_up(ctx, elsewhere.name, elsewhere.description, data, {})
        if (given := await connected_prompt(ctx, params.name, arguments)) is not None:
            return given
        raise ConfigError(
            _unknown("prompt", params.name, [p.name for p in (await self.list_prompts(ctx, None)).prompts])
        )

    async def _set_up(
        self, ctx: Context, scenario: str, description: str, data: Mapping[str, Any], shown: Mapping[str, Any]
    ) -> types.GetPromptResult:
        run, owner = ctx.lifespan_context, owner_of(ctx)
        if owner is not None and not any(key.startswith("hud/") for key in ctx.meta or {}):
            run.episodes.end_owner(owner)  # a client that knows no handles has one episode at a time
        episode = Episode(run.edition, scenario, owner, run.store)
        with episode, told(f"setup of scenario {scenario!r}", place=True):
            prompt = await run.episodes.open(episode, data)
        meta = {wire.EPISODE: episode.handle, **shown, **prompt_meta(prompt)}
        if prompt.setup_output and whole_arguments(ctx) is not None:
            meta[wire.SETUP_OUTPUT] = [wire_block(block) for block in prompt.setup_output]
        if ctx.request is not None:
            meta[wire.AGENT] = episode.token
        return types.GetPromptResult(description=description, messages=mcp_messages(prompt), _meta=meta)

    def _submit(self, ctx: Context, call: ToolCall) -> types.CallToolResult:
        episode = episode_of(ctx, str(call.arguments.get("scenario", "")))
        if (ctx.meta or {}).get(wire.CLOSE):
            ctx.lifespan_context.episodes.end(episode)
            return types.CallToolResult(content=[types.TextContent(text="episode ended")])
        with episode:
            episode.answer = answer_of(ctx, call.arguments.get("answer"))
        return types.CallToolResult(content=[types.TextContent(text="answer received")])

    async def _grade(self, ctx: Context, scenario: str, uri: str) -> types.ReadResourceResult:
        episode, episodes = episode_of(ctx, scenario), ctx.lifespan_context.episodes
        try:
            with episode, told(f"grading of scenario {scenario!r}", place=True):
                evaluation = await episode.grade()
        except Exception:
            episodes.end(episode)
            raise
        episodes.end(episode)
        text = msgspec.json.encode(evaluation_data(evaluation)).decode()
        contents = types.TextResourceContents(uri=uri, text=text, mime_type="application/json")
        return types.ReadResourceResult(contents=[contents])

    # --- resources ----------------------------------------------------------------------------------------------------

    async def list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """List the environment's resources, and to harnesses its scenarios."""
        del params
        environment = edition_of(ctx).environment
        resources = [
            types.Resource(uri=r.uri, name=r.name, description=r.description, mime_type=r.mime_type)
            for r in published(environment).resources.values()
            if not r.is_template
        ]
        if self._is_harness(ctx):
            resources += [scenario_resource(environment.name, handle) for handle in environment.scenarios.values()]
            resources += [listed_scenario_resource(one) for one in await connected_scenarios(ctx)]
        resources += [one for one in await connected_resources(ctx) if isinstance(one, types.Resource)]
        return types.ListResourcesResult(resources=resources)

    async def list_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """List the environment's resources whose URIs have parameters."""
        del params
        templates = [
            types.ResourceTemplate(uri_template=r.uri, name=r.name, description=r.description, mime_type=r.mime_type)
            for r in published(edition_of(ctx).environment).resources.values()
            if r.is_template
        ]
        templates += [one for one in await connected_resources(ctx) if isinstance(one, types.ResourceTemplate)]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """Give a resource; a scenario's grades the client's episode."""
        edition = edition_of(ctx)
        found = published(edition.environment).find_resource(params.uri)
        if found is not None:
            resource, arguments = found
            with edition.used(), told(f"resource {params.uri!r}"):
                return await resource.read(params.uri, arguments)
        handle = self._scenario(ctx, params.uri)
        if handle is not None:
            return await self._grade(ctx, handle.name, params.uri)
        if self._is_harness(ctx) and await is_connected_scenario(ctx, params.uri):
            return await self._grade(ctx, params.uri, params.uri)
        if (given := await connected_resource(ctx, params.uri)) is not None:
            return given
        uris = [resource.uri for resource in (await self.list_resources(ctx, None)).resources]
        raise UnknownResourceError(_unknown("resource", params.uri, uris), params.uri)

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Tell a client of the later era what changes. Where it names an episode, that ends soon after the stream."""
        run = ctx.lifespan_context
        is_agents = address_of(ctx) is not None  # and an agent that leaves ends nothing
        episode = None if is_agents else run.episodes.find(handle_of(ctx), None)
        with nullcontext() if episode is None else episode.held():
            return await run.listen(ctx, params)

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Tell a client of the handshake era when a resource changes."""
        ctx.lifespan_context.subscribe(ctx.session._connection, params.uri)  # noqa: SLF001  as in `admit`
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """Tell it no more."""
        ctx.lifespan_context.unsubscribe(ctx.session._connection, params.uri)  # noqa: SLF001  as in `admit`
        return types.EmptyResult()

    async def complete(self, ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Suggest values for an argument."""
        ours, ref = published(edition_of(ctx).environment), params.ref
        found: PublishedPrompt | PublishedResource | ScenarioHandle[...] | None
        if isinstance(ref, types.PromptReference):
            found = ours.prompts.get(ref.name) or self._scenario(ctx, ref.name)
        else:
            found = ours.resources.get(ref.uri)
        if found is None and await has_connected(ctx, ref):  # its server is not asked for suggestions
            return types.CompleteResult(completion=types.Completion(values=[]))
        if found is None:
            kind = "prompt" if isinstance(ref, types.PromptReference) else "resource template"
            msg = f"unknown {kind} {getattr(ref, 'name', None) or getattr(ref, 'uri', '')!r}"
            raise ConfigError(msg)
        return complete(found.signature, params.argument)

    # --- who asks -----------------------------------------------------------------------------------------------------

    def _is_harness(self, ctx: Context) -> bool:
        if address_of(ctx) is not None:  # an agent's
            return False
        if self._harness is None:
            return True
        shown = (ctx.meta or {}).get(wire.HARNESS)
        return isinstance(shown, str) and secrets.compare_digest(shown.encode(), self._harness.encode())

    def _scenario(self, ctx: Context, name: str) -> ScenarioHandle[...] | None:
        """Find a scenario by its name on the wire; there is none for those who may not know of it."""
        environment = environment_of(ctx)
        owner, _, short = name.rpartition(":")
        if owner != environment.name or not self._is_harness(ctx):
            return None
        return environment.scenarios.get(short)


def _unknown(kind: str, name: str, known: list[str]) -> str:
    return f"unknown {kind} {name!r}; there are {', '.join(known) or 'none'}"
