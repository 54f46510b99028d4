"""Tools in the forms that the API has for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import evolve

from hud_core.agents.native import NativeTool, is_computer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hud_core.agents.conversation import Conversation
    from hud_core.model.tools import Tool

Wire = dict[str, Any]

COMPUTER = "computer_"
SIZE = ("display_width", "display_height", "display_width_px", "display_height_px")
EARLIER = re.compile(r"(sonnet-4-5|haiku-4-5|opus-4-1|(sonnet|opus)-4(-0|-2025\d+|@|$))")
"""Models that know `computer_20250124`, and not the one after it."""
LATER = re.compile(r"^(anthropic/)?claude-[a-z]+-(5-[2-9](?!\d)|[6-9]|\d\d(?!\d))")
"""Models that know the toolset alone; on Bedrock all of them know the tool before it."""
TOOLSET = "_toolset_"
"""What stands in a kind of tool that is a family of them, one for each action. Its calls carry the family's name."""
BETAS = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
}
"""The betas that kinds of tools need which do not name one."""
ARGUMENTS = {"computer_": {"action"}, "bash_": {"command"}, "text_editor_": {"command", "path"}, "memory_": {"command"}}
"""By the beginning of a kind of tool, arguments that the model always or nearly always gives."""

SEARCH = "tool_search_tool_"
SEARCH_FROM = 10
"""More function tools than so many are searched and not shown, where the environment offers a search."""

_ANY_COMPUTER = NativeTool(api_type="computer_latest", api_name="computer", role="computer")
_SINCE_4 = ("*claude-[!0-9i]*",)
_BASH = NativeTool(api_type="bash_20250124", api_name="bash", role="shell", supported_models=_SINCE_4)
_EDITOR = NativeTool(
    api_type="text_editor_20250728",
    api_name="str_replace_based_edit_tool",
    role="editor",
    supported_models=_SINCE_4,
)
_MEMORY = NativeTool(api_type="memory_20250818", api_name="memory", role="memory", supported_models=_SINCE_4)

KNOWN: Mapping[str, NativeTool] = {
    **dict.fromkeys(
        ("anthropic_computer", "computer_anthropic", "computer"), evolve(_ANY_COMPUTER, supported_models=_SINCE_4)
    ),
    "bash": _BASH,
    **dict.fromkeys(("str_replace_based_edit_tool", "text_editor", "edit"), _EDITOR),
    "memory": _MEMORY,
}
"""Native forms of tools that carry no mark, by their well-known names."""


class Offered:
    """The tools of a request, and the betas that they need.

    Args:
        conversation: It has the tools.
        model: The model's name.
        computer: Whether a computer tool may be offered in the API's form, which is a beta.
    """

    def __init__(self, conversation: Conversation, model: str, *, computer: bool) -> None:
        functions = [function_tool(tool) for tool in conversation.tools]
        native: list[Wire] = []
        self.betas: list[str] = []
        self.toolsets: dict[str, str] = {}
        for form in conversation.native:
            if form.api_type.startswith(SEARCH):
                search, functions = _search(form, functions)
                native += search
            elif (wire := _native(form, model, computer=computer)) is not None:
                native.append(wire)
                self.betas += [beta for beta in (form.beta or BETAS.get(wire["type"]),) if beta]
                if TOOLSET in wire["type"]:
                    self.toolsets[wire["type"].partition(TOOLSET)[0]] = form.name
            elif form.tool is not None:
                functions.append(function_tool(evolve(form.tool, name=form.name)))
        self.tools = [*native, *functions]
        self.has_computer = any(is_computer(form.tool) for form in conversation.native if form.tool is not None)


def function_tool(tool: Tool) -> Wire:
    """Make a function tool of a request."""
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "input_schema": tool.input_schema}


def _native(form: NativeTool, model: str, *, computer: bool) -> Wire | None:
    """Make a tool in the API's own form; None for one that must be a function."""
    if form.tool is not None and not form.hosted and not _takes(form):
        return None
    if form.api_type.startswith(COMPUTER):
        return _computer(form, model) if computer else None
    if TOOLSET in form.api_type:
        return {"type": form.api_type, **form.extra}
    return {"type": form.api_type, "name": form.name, **form.extra}


def _takes(form: NativeTool) -> bool:
    """Whether the environment's tool has the arguments that the model will give; without any in its schema, it may."""
    properties = (form.tool.input_schema.get("properties") if form.tool else None) or {}
    needed = next((names for kind, names in ARGUMENTS.items() if form.api_type.startswith(kind)), set())
    return not properties or needed <= properties.keys()


def _computer(form: NativeTool, model: str) -> Wire | None:
    """Make a computer tool; with all but the toolset, the model must know the size of the screen to point at places."""
    size = {**_resolution(form), **form.extra}
    extra = {name: value for name, value in form.extra.items() if name not in SIZE}
    kind = _latest(model.lower()) if form.api_type == _ANY_COMPUTER.api_type else form.api_type
    if TOOLSET in kind:
        return {"type": kind, **extra}
    width = size.get("display_width_px") or size.get("display_width")
    height = size.get("display_height_px") or size.get("display_height")
    if not width or not height:
        return None
    return {"type": kind, "name": form.name, **extra, "display_width_px": width, "display_height_px": height}


def _latest(model: str) -> str:
    if EARLIER.search(model):
        return "computer_20250124"
    return "computer_toolset_20260801" if LATER.search(model) else "computer_20251124"


def _resolution(form: NativeTool) -> dict[str, Any]:
    """Read the size of the screen where computer tools without a mark tell it: ``meta["resolution"]``."""
    told = form.tool.meta.get("resolution") if form.tool is not None else None
    return {"display_width": told.get("width"), "display_height": told.get("height")} if isinstance(told, dict) else {}


def _search(form: NativeTool, functions: Sequence[Wire]) -> tuple[list[Wire], list[Wire]]:
    """Have the functions searched and not shown, where there are many of them; else there is nothing to search."""
    extra = {name: value for name, value in form.extra.items() if name != "threshold"}
    if len(functions) <= form.extra.get("threshold", SEARCH_FROM):
        return [], list(functions)
    search = {"type": form.api_type, "name": form.api_name or re.sub(r"_\d{8}$", "", form.api_type), **extra}
    return [search], [{**tool, "defer_loading": True} for tool in functions]
