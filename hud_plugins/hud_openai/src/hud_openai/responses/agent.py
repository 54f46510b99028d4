"""The agent on the Responses API."""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any, ClassVar, cast

from hud_core import trace
from hud_core.agents import ToolLoopAgent
from hud_core.agents.answers import object_answer
from hud_core.environment.session import Toolbox
from hud_openai.client import Endpoint, RefusedError, WithheldError
from hud_openai.config import TRANSPORT
from hud_openai.messages import offer_as_functions
from hud_openai.replies import withheld
from hud_openai.responses.config import OpenAIConfig
from hud_openai.responses.items import new_input, whole_input
from hud_openai.responses.output import read_response
from hud_openai.responses.screen import Screened
from hud_openai.responses.tools import APPLY_PATCH, SHELL, computers, runs_natively, wire_tools
from hud_openai.schemas import answer_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.agents import BaseAgentConfig, Conversation, ModelTurn, NativeTool
    from hud_core.environment.session import Tools

SENT = ("max_output_tokens", "temperature", "reasoning", "text", "truncation")
"""Settings that are fields of the request."""
SENT_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")
"""Those that endpoints reject in a request without tools."""
THOUGHTS = "reasoning.encrypted_content"


class OpenAIAgent(ToolLoopAgent):
    """An agent on OpenAI's Responses API, or on a server that speaks it.

    ```python
    agent = OpenAIAgent.create(model="gpt-5.4", reasoning={"effort": "high"})
    ```

    Args:
        options: The fields of `OpenAIConfig`, and further ones of the API.

    Raises:
        ConfigError: A setting is unknown or wrong, or there is no endpoint to ask.
    """

    config_class: ClassVar[type[BaseAgentConfig]] = OpenAIConfig
    agent_type: ClassVar[str] = "openai"
    known_tools: ClassVar[Mapping[str, NativeTool]] = {"shell": SHELL, "apply_patch": APPLY_PATCH}
    config: OpenAIConfig

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._endpoint = Endpoint(self.config, "/responses")
        self._is_checked = not self.config.validate_api_key
        # What the endpoint turns out not to do is not asked of it again.
        self._keeps_responses = self.config.store
        self._tells_thoughts = True
        self._takes_strict = True

    async def prepare(self, conversation: Conversation, toolbox: Toolbox) -> Toolbox:
        """Offer tools that only bear the name of a native one as functions; see that a screen can be seen."""
        offer_as_functions(conversation, [form for form in conversation.native if not runs_natively(form)])
        screens = computers(conversation.native)
        return Toolbox(cast("Tools", Screened(toolbox, screens))) if screens else toolbox

    async def respond(self, conversation: Conversation) -> ModelTurn:
        """Send what is new in the conversation, or all of it, and read the model's turn."""
        if not self._is_checked:
            await self._endpoint.check_key()
            self._is_checked = True
        body = self._body(conversation)
        while True:  # ends: each time around, the endpoint is asked for less
            try:
                return await self._ask_for(body, conversation)
            except WithheldError as error:
                return withheld(error)
            except RefusedError as error:
                is_settled = self._settles_for_less(error, body)
                if not is_settled or (less := self._body(conversation)) == body:
                    raise
                body = less

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()

    async def _ask_for(self, body: dict[str, Any], conversation: Conversation) -> ModelTurn:
        turn = read_response(await self._endpoint.complete(body), conversation, strict=_strict(body))
        _record(turn)
        schema = conversation.answer_schema
        return object_answer(schema).read(turn) if schema is not None else turn

    # --- the request --------------------------------------------------------------------------------------------------

    def _body(self, conversation: Conversation) -> dict[str, Any]:
        config = self.config
        tools = self._offered(conversation)
        names = (*SENT, *SENT_WITH_TOOLS) if tools else SENT
        body = {name: value for name in names if (value := getattr(config, name)) is not None}
        body |= {name: value for name, value in config.completion_kwargs.items() if name not in TRANSPORT}
        body |= {"model": config.model, **self._memory(conversation)}
        if system := self._instructions(conversation):
            body["instructions"] = system
        if tools:
            body["tools"] = tools
        if conversation.answer_schema is not None:
            body["text"] = {**body.get("text", {}), "format": answer_form(conversation.answer_schema).text_format}
        return body

    def _instructions(self, conversation: Conversation) -> str:
        return conversation.system

    def _offered(self, conversation: Conversation) -> list[dict[str, Any]]:
        """Give the tools of a request, which are made once for all turns that have the same ones."""
        sources = (conversation.tools, conversation.native, self._takes_strict)
        kept = conversation.written
        if kept is None or not all(map(is_, kept[0], sources)):
            kept = conversation.written = (sources, self._tools(conversation))
        tools: list[dict[str, Any]] = kept[1]
        return tools

    def _tools(self, conversation: Conversation) -> list[dict[str, Any]]:
        return wire_tools(conversation, strict=self._takes_strict)

    def _memory(self, conversation: Conversation) -> dict[str, Any]:
        """Make the fields that say what the conversation was so far."""
        if self._keeps_responses:
            previous, items = new_input(conversation)
            return {"input": items, "previous_response_id": previous} if previous else {"input": items}
        memory: dict[str, Any] = {"input": whole_input(conversation)}
        if not self.config.store:
            memory["store"] = False
        if self._tells_thoughts:
            memory["include"] = list(dict.fromkeys([*self.config.completion_kwargs.get("include", ()), THOUGHTS]))
        return memory

    def _settles_for_less(self, error: RefusedError, body: dict[str, Any]) -> bool:
        """Find out whether a refusal is about something that can be done without, and do without it from now on."""
        previous = body.get("previous_response_id")
        said = f"{error.code} {error.param} {error}"
        if previous and ("previous_response" in said or previous in said):
            self._keeps_responses = False
            lost = "the endpoint has not kept the conversation, so from now on it is sent whole"
        elif THOUGHTS in body.get("include", ()) and (error.param == "include" or "ncrypted content" in said):
            self._tells_thoughts = False
            lost = "the endpoint has no encrypted thoughts for this model"
        elif _strict(body) and "invalid_function_parameters" in said:
            self._takes_strict = False
            lost = "the endpoint does not take all tools in strict mode, so none is"
        else:
            return False
        trace.log_line(f"{lost}: {error}", source="agent")
        return True


def _strict(body: dict[str, Any]) -> frozenset[str]:
    """Name the functions that are offered in strict mode."""
    return frozenset(tool["name"] for tool in body.get("tools", ()) if tool.get("strict"))


def _record(turn: ModelTurn) -> None:
    """Put into the trace what a turn has beside words and calls: what the endpoint ran, and its safety checks."""
    ours = {call.id for call in turn.calls}
    for item in turn.raw["output"]:
        kind = str(item.get("type"))
        if item.get("call_id") not in ours:
            if kind.endswith("_call"):
                trace.log_line(f"the endpoint ran a tool of its own: {kind}, {item.get('status')}", source="agent")
            continue
        for check in item.get("pending_safety_checks") or ():
            what = ", ".join(str(check[key]) for key in ("code", "message") if check.get(key)) or check.get("id")
            trace.log_line(f"acknowledged a safety check of the model's call: {what}", source="agent", check=check)
