"""What tools, scenarios, resources and prompts may say to the client that called them, and ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import mcp_types as types
import msgspec
from attrs import frozen
from mcp import MCPError
from mcp.server.connection import allowed_log_levels
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from hud_core.environment.signature import TypeCodec
from hud_core.environment.values import as_block
from hud_core.errors import ConfigError, ToolError
from hud_core.model.content import Message, TextContent
from hud_core.trace import log_line
from hud_mcp.callers import current_caller, open_caller
from hud_mcp.server.convert import mcp_block

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from mcp.server.context import ServerRequestContext

LEVELS: tuple[str, ...] = get_args(types.LoggingLevel)
"""The protocol's levels of log lines, from the least to the most severe."""
LEVEL = "hud/level"
"""The key in a connection's state of the least level that its client wants."""
SAMPLING = types.ClientCapabilities(sampling=types.SamplingCapability())
ELICITATION = types.ClientCapabilities(elicitation=types.ElicitationCapability())
ROOTS = types.ClientCapabilities(roots=types.RootsCapability())
_RESULTS = {
    "elicitation/create": types.ElicitResult,
    "roots/list": types.ListRootsResult,
    "sampling/createMessage": types.CreateMessageResult,
}


class Caller:
    """The client of the request that is being answered.

    Args:
        ctx: The request.
        ask: Asks it something in the middle of the request; by default over the connection, which the protocol up to
            2025-11-25 allows.
    """

    def __init__(
        self,
        ctx: ServerRequestContext[Any, Any],
        ask: Callable[[types.InputRequest, str | None], Awaitable[types.InputResponse]] | None = None,
    ) -> None:
        self.ctx = ctx
        """The request; a later one where the client had to be asked, and went on with the call."""
        self.is_open = True
        """Whether the request is still to be answered; code that goes on afterwards speaks to nobody."""
        self.refused: MCPError | None = None
        """What the protocol from 2026-07-28 on has to say when something was asked that the client cannot answer."""
        self._ask = ask or self._ask_at_once

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Send progress, if the client wants to hear of it."""
        await self.ctx.session.report_progress(done, total, message)

    async def log(self, level: types.LoggingLevel, data: object) -> None:
        """Send a log line, if the client wants it."""
        ctx = self.ctx
        wanted = ctx.session._connection.state.get(LEVEL, LEVELS[0])  # noqa: SLF001  what logging/setLevel left there
        allowed = allowed_log_levels(ctx.protocol_version, ctx.meta)
        if level in allowed and LEVELS.index(level) >= LEVELS.index(wanted):
            params = types.LoggingMessageNotificationParams(level=level, data=data)
            note = types.LoggingMessageNotification(params=params)
            await ctx.session.send_notification(note, related_request_id=ctx.request_id)

    async def ask(
        self, request: types.InputRequest, needed: types.ClientCapabilities, key: str | None
    ) -> types.InputResponse:
        """Ask the client something, and wait for what it, or its user, says.

        Args:
            request: The question.
            needed: What the client must support.
            key: The question's name in a round; any by default.

        Raises:
            ToolError: It cannot be asked, or refuses.
        """
        if not self.ctx.session.check_client_capability(needed):
            data = {"requiredCapabilities": needed.model_dump(by_alias=True, exclude_none=True)}
            text = f"the client does not support {request.method}"
            if self.ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
                self.refused = MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, text, data)
            raise ToolError(text)
        try:
            return await self._ask(request, key)
        except MCPError as error:
            msg = f"the client did not answer {request.method}: {error.message}"
            raise ToolError(msg) from error

    async def _ask_at_once(self, request: types.InputRequest, _: str | None) -> types.InputResponse:
        kind: Any = _RESULTS[request.method]
        metadata = ServerMessageMetadata(related_request_id=self.ctx.request_id)
        answer: types.InputResponse = await self.ctx.session.send_request(request, kind, metadata=metadata)
        return answer


@frozen
class Elicited:
    """What a person answered."""

    action: str
    """``accept``, ``decline`` or ``cancel``."""
    content: Any = None
    """What was filled in: the type that was asked for, or a dict where a schema was given; None unless accepted."""


async def progress(done: float, total: float | None = None, message: str | None = None) -> None:
    """Tell the client how far the call is; the numbers must grow. It is also a line in the record of a rollout.

    Args:
        done: How much is done.
        total: How much there is, where that is known.
        message: What is being done.
    """
    log_line(message or "progress", source="progress", done=done, total=total)
    if (caller := open_caller()) is not None:
        await caller.progress(done, total, message)


async def log(text: str, *, level: types.LoggingLevel = "info", **data: object) -> None:
    """Send the client a log line. It is also a line in the record of a rollout.

    Args:
        text: The line.
        level: ``debug``, ``info``, ``notice``, ``warning``, ``error``, ``critical``, ``alert`` or ``emergency``.
        data: JSON data that goes with it.

    Raises:
        ConfigError: There is no such level.
    """
    if level not in LEVELS:
        msg = f"a log line has no level {level!r}; there are {', '.join(LEVELS)}"
        raise ConfigError(msg)
    log_line(text, source="log", level=level, **data)
    if (caller := open_caller()) is not None:
        await caller.log(level, {"message": text, **data} if data else text)


async def elicit(message: str, form: type | Mapping[str, Any], *, key: str | None = None) -> Elicited:
    """Ask the person at the client to fill in a form.

    Args:
        message: What is asked, and why.
        form: A dataclass or the like whose fields are text, numbers, booleans, or enums; or such a JSON Schema.
        key: The question's name, by which clients of 2026-07-28 may answer it with the call itself.

    Returns:
        What they did; ``content`` is an instance of the type, or a dict where a schema was given.

    Raises:
        ToolError: Nobody can be asked: no client called, or it has no forms; or the answer does not fit the form.
        ConfigError: The form has no fields.
        DefinitionError: The type has no JSON form.
    """
    codec = TypeCodec("elicit", form) if isinstance(form, type) else None
    whole = form if not isinstance(form, type) else (codec and codec.schema) or {}
    if "properties" not in whole:
        msg = f"elicit asks for a form, which has fields: give a dataclass or an object's schema, not {form!r}"
        raise ConfigError(msg)
    schema = dict(whole) if codec is None else _flat(whole)
    request = types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))
    answer = await _asked("elicit").ask(request, ELICITATION, key)
    if not isinstance(answer, types.ElicitResult):
        raise ToolError("the client answered a form with something else")
    if answer.action != "accept":
        return Elicited(answer.action)
    content = answer.content or {}
    try:
        return Elicited("accept", content if codec is None else codec.convert(content))
    except ValueError as error:
        msg = f"what was filled in does not fit the form: {error}"
        raise ToolError(msg) from error


async def sample(
    messages: str | Sequence[Message], *, max_tokens: int = 1024, system: str | None = None, key: str | None = None
) -> Message:
    """Ask the client's model.

    Args:
        messages: What it is asked: text, or messages of ``user`` and ``assistant``.
        max_tokens: How long the answer may be.
        system: What it is told beforehand.
        key: The question's name, as for `elicit`.

    Returns:
        The answer; `Message.text` is its text.

    Raises:
        ToolError: No client called, or it lets nobody use its model.
    """
    asked = [Message(content=(TextContent(text=messages),))] if isinstance(messages, str) else messages
    sent = [_sampling(message) for message in asked]
    params = types.CreateMessageRequestParams(messages=sent, max_tokens=max_tokens, system_prompt=system)
    answer = await _asked("sample").ask(types.CreateMessageRequest(params=params), SAMPLING, key)
    if not isinstance(answer, types.CreateMessageResult | types.CreateMessageResultWithTools):
        raise ToolError("the client answered for its model with something else")
    blocks = answer.content if isinstance(answer.content, list) else [answer.content]
    return Message(role=answer.role, content=tuple(_block(block) for block in blocks))


async def list_roots(*, key: str | None = None) -> list[str]:
    """Ask the client which folders and files it works on; as ``file://`` addresses.

    Args:
        key: The question's name, as for `elicit`.

    Raises:
        ToolError: No client called, or it tells nobody.
    """
    answer = await _asked("list_roots").ask(types.ListRootsRequest(), ROOTS, key)
    if not isinstance(answer, types.ListRootsResult):
        raise ToolError("the client answered for its roots with something else")
    return [str(root.uri) for root in answer.roots]


async def resource_updated(uri: str) -> None:
    """Tell the clients that subscribed to a resource that it has changed; where nothing is served, nothing happens.

    Args:
        uri: Its address, whole, though a template may publish it.
    """
    caller = current_caller.get()  # also from what goes on after the call: this is no word to its caller alone
    if caller is not None:
        await caller.ctx.lifespan_context.resource_updated(uri)


def _asked(what: str) -> Caller:
    caller = open_caller()
    if caller is None:
        msg = f"{what} asks the client that made a call over MCP; nobody did, so there is nobody to ask"
        raise ToolError(msg)
    return caller


def _sampling(message: Message) -> types.SamplingMessage:
    content: Any = [mcp_block(block) for block in message.content]
    role: Any = "assistant" if message.role == "assistant" else "user"
    return types.SamplingMessage(role=role, content=content[0] if len(content) == 1 else content)


def _block(block: Any) -> Any:  # noqa: ANN401  a block of the SDK's as one of ours
    return as_block(block) or TextContent(text=msgspec.json.encode(block.model_dump(by_alias=True)).decode())


def _flat(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make a form of an object's schema: fields without references, enums as the strings that they are."""
    definitions = schema.get("$defs", {})
    fields = {name: _field(field, definitions) for name, field in schema.get("properties", {}).items()}
    return {"type": "object", "properties": fields, "required": list(schema.get("required", ()))}


def _field(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    named = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
    whole = {**named, **{key: value for key, value in field.items() if key != "$ref"}}
    return {"type": "string", **whole} if _is_choice(whole.get("enum", ())) else whole


def _is_choice(values: Iterable[object]) -> bool:
    chosen = list(values)
    return bool(chosen) and all(isinstance(value, str) for value in chosen)
