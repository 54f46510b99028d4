"""Tools as the Responses API takes them: functions, and those that OpenAI's models know by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_core.agents.native import META, NativeTool
from hud_openai.schemas import strict_parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_core.agents import Conversation
    from hud_core.model.tools import Tool

Wire = dict[str, Any]

CODING_MODELS = ("gpt-5.[1-9]*", "gpt-[6-9]*")
SHELL = NativeTool(api_type="shell", role="shell", supported_models=CODING_MODELS)
APPLY_PATCH = NativeTool(api_type="apply_patch", role="editor", supported_models=CODING_MODELS)
PREVIEW = NativeTool(api_type="computer_use_preview", api_name="computer", role="computer")

COMPUTERS = ("computer", "computer_use_preview")
"""What tools that operate a screen are called; the second is that of the model ``computer-use-preview``."""
WANTED = {
    "shell": {"commands"},
    "apply_patch": {"type", "path"},
    "computer": {"actions"},
    "computer_use_preview": {"type"},
}
"""Tools that run here, with the arguments that their calls always have."""
DISPLAY = {"display_width": 1024, "display_height": 768}
DEFERRED_FROM = 10
"""With ``tool_search``, the model is shown up to so many functions at once; of more it sees only the names."""


def runs_natively(form: NativeTool) -> bool:
    """Whether a tool can be offered in OpenAI's own form.

    A tool that is marked as one can. One that only bears a well-known name must also take what the model will send.
    """
    if form.hosted or form.tool is None:
        return form.hosted
    if form.api_type not in WANTED:
        return False
    return META in form.tool.meta or form.tool.input_schema.get("properties", {}).keys() >= WANTED[form.api_type]


def wire_tools(conversation: Conversation, *, strict: bool, environment: str | None = None) -> list[Wire]:
    """Make the tools of a request.

    Args:
        conversation: Whose tools they are.
        strict: Whether functions are in strict mode where it can express their parameters.
        environment: What the screen shows, where the settings say so.
    """
    native = [form for form in conversation.native if form.api_type != "tool_search"]
    search = next((form for form in conversation.native if form.api_type == "tool_search"), None)
    is_searched = search is not None and len(conversation.tools) > search.extra.get("threshold", DEFERRED_FROM)
    functions = [_function(tool, strict=strict) for tool in conversation.tools]
    if is_searched:
        functions = [{**function, "defer_loading": True} for function in functions]
    return [
        *(_native(form, environment) for form in native),
        *([{"type": "tool_search"}] if is_searched else []),
        *functions,
    ]


def _function(tool: Tool, *, strict: bool) -> Wire:
    parameters = strict_parameters(tool.input_schema) if strict else None
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": parameters or tool.input_schema,
        "strict": parameters is not None,
    }


def _native(form: NativeTool, environment: str | None) -> Wire:
    wire = {"type": form.api_type, **form.extra}
    if form.api_type == "computer_use_preview":
        return {**DISPLAY, **wire, "environment": environment or form.extra.get("environment") or "linux"}
    if form.api_type == "computer":
        return {"type": "computer"}  # it finds out the size of the screen from the pictures
    if form.api_type == "code_interpreter":
        return {"container": {"type": "auto"}, **wire}
    if form.api_type == "shell":
        return {"environment": {"type": "local"}, **wire}
    return wire


def computers(native: Sequence[NativeTool]) -> dict[str, str]:
    """Give the names of the environment's tools that the model operates a screen with, and what OpenAI calls each."""
    return {form.tool.name: form.api_type for form in native if form.tool is not None and form.api_type in COMPUTERS}
