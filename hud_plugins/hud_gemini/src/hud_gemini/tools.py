"""The tools of a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hud_gemini.schemas import wire_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_core.agents.conversation import Conversation
    from hud_core.agents.native import NativeTool
    from hud_core.model.tools import Tool
    from hud_gemini.config import GeminiConfig

Wire = dict[str, Any]

COMPUTER_USE = "computer_use"
SEARCH = "google_search"


def computer_of(native: Sequence[NativeTool]) -> NativeTool | None:
    """Find the computer that the model operates, in its native form."""
    return next((form for form in native if form.api_type == COMPUTER_USE), None)


def wire_functions(tools: Sequence[Tool]) -> list[Wire]:
    """Make the tool that function tools are for the API; none where there is no function."""
    return [{"functionDeclarations": [_declaration(tool) for tool in tools]}] if tools else []


def wire_tools(conversation: Conversation, config: GeminiConfig, functions: Sequence[Wire]) -> Wire:
    """Make the fields ``tools`` and ``toolConfig``; none where there is nothing to say.

    Args:
        conversation: What is offered beside functions.
        config: The agent's settings.
        functions: The functions, as `wire_functions` makes them.
    """
    native: list[Wire] = [_native(form, config) for form in conversation.native]
    hosted: list[Wire] = [{_camel(name): {}} for name in _hosted(conversation, config)]
    fields: Wire = {"tools": [*functions, *native, *hosted]}
    if not fields["tools"]:
        return {}
    choices: Wire = {}
    if config.tool_mode and functions:
        choices["functionCallingConfig"] = {"mode": config.tool_mode.upper()}
    runs_elsewhere = hosted or any(form.hosted for form in conversation.native)
    if functions and runs_elsewhere and not config.is_on_vertex:  # the API demands it, and Vertex AI has no such field
        choices["includeServerSideToolInvocations"] = True
    return {**fields, "toolConfig": choices} if choices else fields


def _hosted(conversation: Conversation, config: GeminiConfig) -> Sequence[str]:
    """Name the tools at Google's that are offered; an answer that is to name its sources finds them by searching."""
    searches = SEARCH in config.hosted_tools or any(form.api_type == SEARCH for form in conversation.native)
    return (*config.hosted_tools, *([SEARCH] if conversation.enable_citations and not searches else ()))


def _declaration(tool: Tool) -> Wire:
    schema = wire_schema(tool.input_schema)
    return {"name": tool.name, "description": tool.description or tool.name, "parametersJsonSchema": schema}


def _native(form: NativeTool, config: GeminiConfig) -> Wire:
    """Make a native tool; the fields of one that is not known here are those that the environment gives."""
    if form.api_type != COMPUTER_USE:
        return {_camel(form.api_type): form.extra}
    fields = {_camel(name): value for name, value in form.extra.items()}
    place = str(fields.get("environment", "browser")).upper().removeprefix("ENVIRONMENT_")
    fields["environment"] = f"ENVIRONMENT_{place}"
    if config.excluded_predefined_functions:
        fields["excludedPredefinedFunctions"] = list(config.excluded_predefined_functions)
    return {"computerUse": fields}


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)
