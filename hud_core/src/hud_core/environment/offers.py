"""Tools in the forms that model APIs and agent frameworks take, for loops that users write themselves.

Whoever declares an environment imports this module; what only such loops need is imported where it is used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar, overload

import anyio
from attrs import evolve

from hud_core import trace
from hud_core.environment.borrowed import borrow
from hud_core.environment.session import as_call
from hud_core.errors import ConfigError, closest
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hud_core.environment.calls import MalformedCall
    from hud_core.environment.formats import ToolFormat
    from hud_core.model.tools import Tool, ToolResult

    Wire = dict[str, Any]

R = TypeVar("R")

CODE_EXECUTION = "code_execution_20250825"
"""The version of Claude's code execution tool whose programs may call tools."""
GEMINI_MODES = ("AUTO", "ANY", "NONE", "VALIDATED")
_GEMINI_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_GEMINI_KEYS = frozenset({
    "anyOf", "default", "description", "enum", "format", "items", "maxItems", "maxLength", "maximum", "minItems",
    "minLength", "minimum", "pattern", "properties", "required", "title", "type",
})  # fmt: skip
"""Keywords of JSON Schema that Gemini's own ``Schema`` has, too."""


class OffersTools(ABC):
    """What has tools to offer: a rollout that is driven by hand, or an environment."""

    @abstractmethod
    def as_tools(self) -> list[Tool]:
        """List the tools, without asking anybody."""

    @abstractmethod
    async def _called(self, call: ToolCall) -> ToolResult:
        """Call a tool; what it does wrong is a result with `is_error`."""

    async def _called_by_name(self, call: ToolCall) -> ToolResult:
        """Call a tool that the code itself names, and no model."""
        return await self._called(call)

    # --- calls --------------------------------------------------------------------------------------------------------

    @overload
    async def call_tool(self, call: ToolCall | str, /, **arguments: Any) -> ToolResult: ...

    @overload
    async def call_tool(self, call: object, /) -> Any: ...  # noqa: ANN401  the message that an API takes back

    async def call_tool(self, call: object, /, **arguments: Any) -> Any:
        """Call a tool: by name, or as a model called it; the result has the form of the call.

        Args:
            call: A name, a `ToolCall`, or a tool call of one of the `ToolFormat` APIs, as its SDK's object or a dict.
            arguments: Those of a tool that is named.

        Returns:
            A `ToolResult` for a name or a `ToolCall`; for an API's call the message that the API takes back, as a dict.
            Arguments that are no JSON object, and what the tool does wrong, are told in it.

        Raises:
            ArgumentError: It is no tool call.
            ToolError: A tool of an `Environment` failed that was called by name or `ToolCall`: in scenario code that is
                handled, or ends the rollout.
        """
        if isinstance(call, str | ToolCall):
            return await self._called_by_name(as_call(call, arguments))
        if arguments:
            raise ConfigError("a model's tool call has its arguments with it; give none beside it")
        from hud_core.environment.formats import parse_tool_call

        return await self._answered(*parse_tool_call(call))

    async def call_tools(self, calls: object, /) -> list[Any]:
        """Call all tools that a model's reply asks for, at once, and give their results in its order.

        Args:
            calls: A list with tool calls, such as ``message.tool_calls`` or Claude's ``response.content``; what else is
                in a reply is passed over.

        Raises:
            ArgumentError: Something in it is no part of a reply.
        """
        from hud_core.environment.formats import parse_tool_calls

        parsed = parse_tool_calls(calls)
        results: list[Any] = [None] * len(parsed)

        async def call(place: int) -> None:
            results[place] = await self._answered(*parsed[place])

        try:
            async with anyio.create_task_group() as tasks:
                for place in range(len(parsed)):
                    tasks.start_soon(call, place)
        except ExceptionGroup as group:  # what a tool does wrong is a result, so this is what broke the environment
            raise group.exceptions[0] from group
        return results

    async def _answered(self, call: ToolCall | MalformedCall, kind: ToolFormat) -> Any:  # noqa: ANN401  the format's own
        from hud_core.environment.calls import MalformedCall, portable_tools
        from hud_core.environment.formats import format_result

        if isinstance(call, MalformedCall):
            trace.log_line(call.result.text, source="agent")
            return format_result(call.result, call, kind)
        names = portable_tools(self.as_tools())[1]
        return format_result(await self._called(evolve(call, name=names.get(call.name, call.name))), call, kind)

    # --- model APIs ---------------------------------------------------------------------------------------------------

    def as_openai_chat_tools(self, *, strict: bool = False) -> list[Wire]:
        """Give the ``tools`` of a request to OpenAI's chat completions.

        Args:
            strict: Have arguments that always fit. Every parameter is required then; a tool whose parameters strict
                mode cannot express is offered without it.
        """
        return [{"type": "function", "function": _openai(tool, strict=strict)} for tool in self._portable()]

    def as_openai_responses_tools(self, *, strict: bool = False) -> list[Wire]:
        """Give the ``tools`` of a request to OpenAI's Responses API; `strict` as for `as_openai_chat_tools`.

        Each says whether it is strict, as that API takes tools for strict that do not.
        """
        return [{"type": "function", "strict": False, **_openai(tool, strict=strict)} for tool in self._portable()]

    def as_claude_tools(self, *, cache_control: bool = False) -> list[Wire]:
        """Give the ``tools`` of a request to Anthropic's messages.

        Args:
            cache_control: Mark the last one, so that the vendor caches all of them.
        """
        tools: list[Wire] = [
            {"name": tool.name, "description": tool.description, "input_schema": deepcopy(tool.input_schema)}
            for tool in self._portable()
        ]
        if cache_control and tools:
            tools[-1]["cache_control"] = {"type": "ephemeral"}
        return tools

    def as_claude_programmatic_tools(self, *, cache_control: bool = False) -> list[Wire]:
        """Give the ``tools`` for Claude's code execution to call from its programs.

        The request needs the code execution tool beside them; `cache_control` as for `as_claude_tools`.
        """
        return [
            {**tool, "allowed_callers": [CODE_EXECUTION]} for tool in self.as_claude_tools(cache_control=cache_control)
        ]

    def as_gemini_tools(self) -> list[Wire]:
        """Give the ``tools`` of a request to Google's Gemini API; there is one, with every function in it."""
        functions = [_gemini(tool) for tool in self._portable()]
        return [{"function_declarations": functions}] if functions else []

    def as_gemini_tool_config(self, mode: str = "AUTO", allowed_tools: Sequence[str] | None = None) -> Wire:
        """Give the ``tool_config`` of a request to Google's Gemini API.

        Args:
            mode: ``AUTO`` lets the model choose, ``ANY`` makes it call a tool, ``NONE`` forbids it, ``VALIDATED`` is
                ``AUTO`` with arguments that always fit.
            allowed_tools: With ``ANY`` or ``VALIDATED`` the tools that may be called, by their names here.

        Raises:
            ConfigError: There is no such mode or tool, or the mode takes no `allowed_tools`.
        """
        if mode not in GEMINI_MODES:
            raise ConfigError(f"mode must be one of {', '.join(GEMINI_MODES)}, got {mode!r}")
        config: Wire = {"mode": mode}
        if allowed_tools is not None:
            if mode in ("AUTO", "NONE"):
                raise ConfigError(f"allowed_tools needs mode 'ANY' or 'VALIDATED', got {mode!r}")
            config["allowed_function_names"] = self._portable_names(allowed_tools)
        return {"function_calling_config": config}

    def _portable(self) -> tuple[Tool, ...]:
        """Give the tools under names that every vendor takes."""
        from hud_core.environment.calls import portable_tools

        return portable_tools(self.as_tools())[0]

    def _portable_names(self, names: Sequence[str]) -> list[str]:
        from hud_core.environment.calls import portable_tools

        portable = {own: shown for shown, own in portable_tools(self.as_tools())[1].items()}
        for name in names:
            if name not in portable:
                raise ConfigError(f"there is no tool {name!r} to allow{closest(name, portable)}")
        return [portable[name] for name in names]

    # --- agent frameworks ---------------------------------------------------------------------------------------------

    def as_langchain_tools(self) -> list[Any]:
        """Give the tools as LangChain's ``BaseTool`` objects.

        Raises:
            ImportError: hud-frameworks or langchain-core is not installed.
        """
        return _converted("langchain_tools", self, extra="langchain")

    def as_llamaindex_tools(self) -> list[Any]:
        """Give the tools as LlamaIndex's ``AsyncBaseTool`` objects.

        Raises:
            ImportError: hud-frameworks or llama-index-core is not installed.
        """
        return _converted("llamaindex_tools", self, extra="llamaindex")

    def as_adk_tools(self) -> list[Any]:
        """Give the tools as ``BaseTool`` objects of Google's Agent Development Kit.

        Raises:
            ImportError: hud-frameworks or google-adk is not installed.
        """
        return _converted("adk_tools", self, extra="adk")

    def as_openai_agent_tools(self) -> list[Any]:
        """Give the tools as ``FunctionTool`` objects of the OpenAI Agents SDK.

        Raises:
            ImportError: hud-frameworks or openai-agents is not installed.
        """
        return _converted("openai_agent_tools", self, extra="openai-agents")

    def as_anthropic_runner(self) -> AnthropicRunner:
        """Give what answers ``tool_use`` blocks of Anthropic's messages, one at a time."""
        return AnthropicRunner([tool.name for tool in self._portable()], self.call_tool)


class AnthropicRunner:
    """Answers ``tool_use`` blocks.

    Args:
        tool_names: The tools that there are, by the names that `OffersTools.as_claude_tools` gives them.
        call: Makes the call.
    """

    def __init__(self, tool_names: list[str], call: Callable[[object], Any]) -> None:
        self.tool_names = tool_names
        self._call = call

    async def run(self, block: object) -> Wire:
        """Call the tool, and give the ``tool_result`` block.

        Raises:
            ArgumentError: It is no tool call.
        """
        result: Wire = await self._call(block)
        return result


def _converted(name: str, source: OffersTools, *, extra: str) -> list[Any]:
    convert = borrow("hud_frameworks", name, f"'hud-frameworks[{extra}]'", "converting tools for an agent framework")
    tools: list[Any] = convert(source)
    return tools


def _openai(tool: Tool, *, strict: bool) -> Wire:
    from hud_core.environment.strict import strict_schema

    schema = strict_schema(deepcopy(tool.input_schema)) if strict else None
    function = {"name": tool.name, "description": tool.description}
    if schema is not None:
        return {**function, "parameters": schema, "strict": True}
    return {**function, "parameters": deepcopy(tool.input_schema)}


def _gemini(tool: Tool) -> Wire:
    """Give a function with its parameters in Gemini's own ``Schema``, or as JSON Schema where that has less to say."""
    function = {"name": tool.name, "description": tool.description}
    schema = _gemini_schema(tool.input_schema)
    if schema is None:
        return {**function, "parameters_json_schema": deepcopy(tool.input_schema)}
    return {**function, "parameters": schema}


def _gemini_schema(schema: Any) -> Wire | None:  # noqa: ANN401  whatever a server calls a schema
    """Give a schema as Gemini's ``Schema``; None where that loses something but that it is closed."""
    if not isinstance(schema, dict):
        return None
    kept = {key: value for key, value in schema.items() if (key, value) != ("additionalProperties", False)}
    is_known = kept.get("type") in _GEMINI_TYPES if "type" in kept else "anyOf" in kept
    if not is_known or kept.keys() - _GEMINI_KEYS or not _has_text_choices(kept):
        return None
    nested: dict[str, Any] = {}
    if "properties" in kept:
        nested["properties"] = {name: _gemini_schema(value) for name, value in kept["properties"].items()}
    if "items" in kept:
        nested["items"] = _gemini_schema(kept["items"])
    if "anyOf" in kept:
        nested["anyOf"] = [_gemini_schema(option) for option in kept["anyOf"]]
    inner = [*nested.get("properties", {}).values(), *nested.get("anyOf", []), nested.get("items", {})]
    return None if None in inner else deepcopy({**kept, **nested})


def _has_text_choices(schema: Wire) -> bool:
    """Whether its choices, if it has any, are text: Gemini's ``Schema`` has no others."""
    return all(isinstance(choice, str) for choice in schema.get("enum", ()))
