"""The SDK's server that gives a surface's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server import Server
from mcp.server.lowlevel.server import NotificationOptions
from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

from hud_mcp.server.refusals import telling
from hud_mcp.server.run import ServerRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext

    from hud_mcp.server.surface import Surface


def lowlevel_server(
    surface: Surface,
    name: str,
    version: str,
    *,
    instructions: str | None,
    lifespan: Callable[[Server[ServerRun]], AbstractAsyncContextManager[ServerRun]],
    schema_of: Callable[[str], Mapping[str, Any] | None],
) -> Server[ServerRun]:
    """Make the SDK's server that gives a surface's answers.

    Args:
        surface: What answers.
        name: The server's name.
        version: The version that it tells clients.
        instructions: What it tells them of its use.
        lifespan: Runs around all that it serves.
        schema_of: Gives a tool's schema; the SDK would list the tools at each call to find it.
    """
    server = _WireServer(
        name,
        version=version,
        instructions=instructions,
        lifespan=lifespan,
        on_list_tools=surface.list_tools,
        on_call_tool=surface.call_tool,
        on_list_prompts=surface.list_prompts,
        on_get_prompt=telling(surface.get_prompt),
        on_list_resources=surface.list_resources,
        on_list_resource_templates=surface.list_templates,
        on_read_resource=telling(surface.read_resource),
        on_subscriptions_listen=surface.listen,
        on_subscribe_resource=surface.subscribe,
        on_unsubscribe_resource=surface.unsubscribe,
        on_completion=surface.complete,
        get_tool_input_schema=schema_of,
    )
    # The constructor's way to say so warns that it is the earlier era's.
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, surface.set_level)
    server.middleware[:] = [*map(_where_recorded, server.middleware), surface.admit]
    return server


class _WireServer(Server[ServerRun]):
    """A server that says in the handshake, too, that its lists may change."""

    @property
    def server_info_stamp(self) -> dict[str, Any]:
        """What each answer tells of the server, copied flat: it holds text alone. The SDK's deep copy takes 4 us."""
        return dict(self._server_info_stamp_source)

    def get_capabilities(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> types.ServerCapabilities:
        """Say what is served."""
        del notification_options
        changing = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().get_capabilities(
            changing, experimental_capabilities, extensions, protocol_version=protocol_version
        )


def _where_recorded(spans: ServerMiddleware[ServerRun]) -> ServerMiddleware[ServerRun]:
    """Make the SDK's spans only where something records them: they take a seventh of a call's time."""

    async def middleware(ctx: ServerRequestContext[ServerRun, Any], call_next: CallNext) -> HandlerResult:
        if isinstance(get_tracer_provider(), ProxyTracerProvider):  # what there is until somebody sets another
            return await call_next(ctx)
        return await spans(ctx, call_next)

    return middleware
