"""The agent on Anthropic's Messages API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hud_anthropic.client import Endpoint, RejectedError
from hud_anthropic.config import SENT, ClaudeConfig
from hud_anthropic.messages import Written, mark_for_cache
from hud_anthropic.replies import hosted_calls, read_reply
from hud_anthropic.schemas import AnswerForm, answer_form
from hud_anthropic.tools import KNOWN, Offered
from hud_core import trace
from hud_core.agents import ToolLoopAgent, schema_instruction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.agents import BaseAgentConfig, Conversation, ModelTurn, NativeTool


class ClaudeAgent(ToolLoopAgent):
    """An agent on Anthropic's Messages API, or on a gateway, Bedrock or Vertex, which speak it too.

    ```python
    agent = ClaudeAgent.create(model="claude-sonnet-4-5", thinking=4096)
    ```

    Args:
        options: The fields of `ClaudeConfig`.

    Raises:
        ConfigError: A setting is unknown or wrong, or there is no key.
    """

    config_class: ClassVar[type[BaseAgentConfig]] = ClaudeConfig
    agent_type: ClassVar[str] = "claude"
    known_tools: ClassVar[Mapping[str, NativeTool]] = KNOWN
    config: ClaudeConfig

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._endpoint = Endpoint(self.config)
        self._settings = {name: value for name in SENT if (value := getattr(self.config, name)) not in (None, "")}
        self._rejects_schemas = False

    async def respond(self, conversation: Conversation) -> ModelTurn:
        """Send the conversation, read the model's turn."""
        schema = conversation.answer_schema
        if schema is None:
            return await self._send(conversation)
        # the API has either citations or JSON output, and answers in words may have both
        in_words = self._rejects_schemas or self.config.structured_output == "prompt" or self._cites(conversation)
        form = None if in_words else answer_form(schema)
        if form is None:
            return await self._send(conversation, schema_instruction(schema))
        try:
            return form.answer.read(await self._send(conversation, form=form))
        except RejectedError as error:
            turn = await self._send(conversation, schema_instruction(schema))
            self._rejects_schemas = True  # the request was fine but for its output format: do not try again
            trace.log_line(f"the model takes no answer schema, so the prompt holds it: {error}", source="agent")
            return turn

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()

    async def _send(
        self, conversation: Conversation, instruction: str = "", form: AnswerForm | None = None
    ) -> ModelTurn:
        config = self.config
        offered = Offered(conversation, config.model or "", computer=config.use_computer_beta)
        body = self._body(conversation, instruction)
        if offered.tools:
            body["tools"] = offered.tools
            body |= self._tool_choice(has_computer=offered.has_computer)
        output = {"effort": config.effort, "format": form.output_format if form else None}
        if any(output.values()):
            body["output_config"] = {name: value for name, value in output.items() if value}
        if config.prompt_caching:
            ttl = {} if config.cache_ttl == "5m" else {"ttl": config.cache_ttl}
            mark_for_cache(body, {"type": "ephemeral", **ttl})
        reply = await self._endpoint.send({**body, **config.extra_body}, [*config.betas, *offered.betas])
        turn = read_reply(reply, offered.toolsets)
        for call in hosted_calls(turn):
            trace.log_line(f"the endpoint ran a tool of its own: {call}", source="agent")
        return turn

    def _body(self, conversation: Conversation, instruction: str) -> dict[str, Any]:
        written = Written.of(conversation, self._cites(conversation))
        body = {**self._settings, "messages": list(written.messages), "stream": True}
        if system := "\n\n".join(filter(None, (conversation.system, *written.systems, instruction))):
            body["system"] = system
        if written.container:
            body["container"] = written.container
        return body

    def _tool_choice(self, *, has_computer: bool) -> dict[str, Any]:
        """Say which tools must be called, where that is not as the API has it by itself."""
        choice, parallel = self.config.tool_choice, self.config.parallel_tool_calls
        if not (not has_computer if parallel is None else parallel) and (choice or {}).get("type") != "none":
            choice = {"type": "auto", **(choice or {}), "disable_parallel_tool_use": True}
        return {"tool_choice": choice} if choice else {}

    def _cites(self, conversation: Conversation) -> bool:
        return self.config.citations or conversation.enable_citations
