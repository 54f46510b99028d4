"""Tools for the OpenAI Agents SDK."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hud_core.environment.calls import MalformedCall, read_call
from hud_frameworks.calling import OfferedTool, framework, offered_tools, text_of

if TYPE_CHECKING:
    from hud_core.environment.offers import OffersTools


def openai_agent_tools(source: OffersTools) -> list[Any]:
    """Give the tools as the SDK's ``FunctionTool`` objects. What a tool does wrong is text that says so.

    Args:
        source: A rollout, or an environment.

    Raises:
        ImportError: openai-agents is not installed.
    """
    library = framework("agents", "openai-agents", "openai-agents")
    return [
        library.FunctionTool(
            name=offered.tool.name,
            description=offered.tool.description,
            params_json_schema=offered.tool.input_schema,
            on_invoke_tool=partial(_invoke, offered),
            strict_json_schema=False,
        )
        for offered in offered_tools(source)
    ]


async def _invoke(offered: OfferedTool, _: object, arguments: str) -> str:
    call = read_call(offered.tool.name, arguments)
    return text_of(call.result if isinstance(call, MalformedCall) else await offered.call(call.arguments))
