"""The native computer tool: its actions as calls of one tool, and what the model is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_core import trace
from hud_core.model.content import TextContent
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from hud_core.agents.native import NativeTool
    from hud_core.model.tools import ToolResult

Wire = dict[str, Any]

URL_MARK = "__URL__:"
"""What the text of a tool result begins with that says which page the browser shows."""
NO_PAGE = "about:blank"
"""What the model is told where a result names no page: it is never left without one."""
CONFIRM = "require_confirmation"


def action_call(form: NativeTool, name: str, arguments: Wire, call_id: str) -> ToolCall:
    """Make the call of the environment's tool for an action of the model, such as ``click_at``.

    What the API adds to an action's arguments does not reach the tool: the decision of its safety service, and, unless
    the tool takes it, what the model means to do.
    """
    kept = {key: value for key, value in arguments.items() if key != "safety_decision"}
    intent = None
    if form.tool is not None and "intent" not in form.tool.input_schema.get("properties", {}):
        intent = kept.pop("intent", None)
    return ToolCall(form.name, {"action": name, **kept}, call_id, annotation=None if intent is None else str(intent))


def log_confirmation(name: str, arguments: Wire) -> None:
    """Record that an action is done which the API wants a person to confirm: there is nobody to ask."""
    if needs_confirmation(arguments):
        reason = arguments["safety_decision"].get("explanation", "no reason given")
        trace.log_line(f"confirmed action {name!r}, which the API wants confirmed: {reason}", source="agent")


def needs_confirmation(arguments: object) -> bool:
    """Whether the API's safety service wants an action confirmed."""
    decision = arguments.get("safety_decision") if isinstance(arguments, dict) else None
    return isinstance(decision, dict) and str(decision.get("decision")).lower() == CONFIRM


def computer_response(wire: Wire, result: ToolResult) -> Wire:
    """Tell what an action gave: the page, what else the tool said, and that it was confirmed if it had to be."""
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    pages = [text.removeprefix(URL_MARK).strip() for text in texts if text.startswith(URL_MARK)]
    said = "\n".join(text for text in texts if not text.startswith(URL_MARK))
    response: Wire = {"url": pages[0] if pages else NO_PAGE}
    if said:
        response["error" if result.is_error else "output"] = said
    if needs_confirmation(wire.get("args")):
        response["safety_acknowledgement"] = "true"
    return response
