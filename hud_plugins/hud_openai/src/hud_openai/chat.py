"""The agent on every endpoint that speaks the chat-completions API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hud_core import trace
from hud_core.agents import ToolLoopAgent, schema_instruction
from hud_openai.client import Endpoint, RejectedError, WithheldError
from hud_openai.config import TRANSPORT, ChatConfig
from hud_openai.messages import Written, offer_as_functions
from hud_openai.replies import read_reply, withheld
from hud_openai.schemas import AnswerForm, answer_form

if TYPE_CHECKING:
    from hud_core.agents import BaseAgentConfig, Conversation, ModelTurn
    from hud_core.environment.session import Toolbox

ONLY_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")
"""Settings that endpoints reject in a request without tools."""


class OpenAIChatAgent(ToolLoopAgent):
    """An agent on a chat-completions API: OpenAI's, or vLLM, SGLang, Ollama, llama.cpp, LiteLLM and other gateways.

    ```python
    agent = OpenAIChatAgent.create(base_url="http://localhost:11434/v1", model="qwen3:8b", temperature=0.2)
    ```

    Args:
        options: The fields of `ChatConfig`, and any sampling option of the API.

    Raises:
        ConfigError: A setting is unknown or wrong, or there is no model or no endpoint to ask.
    """

    config_class: ClassVar[type[BaseAgentConfig]] = ChatConfig
    agent_type: ClassVar[str] = "openai_compatible"
    config: ChatConfig

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._endpoint = Endpoint(self.config, "/chat/completions")
        self._rejects_schemas = False

    async def prepare(self, conversation: Conversation, toolbox: Toolbox) -> Toolbox:
        """Offer the tools that are marked as this model's own as functions of the name that it knows them by."""
        offer_as_functions(conversation, conversation.native)
        return toolbox

    async def respond(self, conversation: Conversation) -> ModelTurn:
        """Send the conversation, read the model's turn."""
        try:
            return await self._respond(conversation, conversation.answer_schema)
        except WithheldError as error:
            return withheld(error)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()

    async def _respond(self, conversation: Conversation, schema: dict[str, Any] | None) -> ModelTurn:
        if schema is None:
            return read_reply(await self._endpoint.complete(self._body(conversation)))
        if self._rejects_schemas or self.config.structured_output == "prompt":
            return await self._respond_in_words(conversation, schema)
        try:
            return await self._respond_in_form(conversation, answer_form(schema))
        except RejectedError as error:
            turn = await self._respond_in_words(conversation, schema)
            self._rejects_schemas = True  # the request was fine but for its response_format: do not try again
            trace.log_line(f"the endpoint takes no answer schema, so the prompt holds it: {error}", source="agent")
            return turn

    async def _respond_in_form(self, conversation: Conversation, form: AnswerForm) -> ModelTurn:
        body = {**self._body(conversation), "response_format": form.response_format}
        return form.answer.read(read_reply(await self._endpoint.complete(body)))

    async def _respond_in_words(self, conversation: Conversation, schema: dict[str, Any]) -> ModelTurn:
        return read_reply(await self._endpoint.complete(self._body(conversation, schema_instruction(schema))))

    def _body(self, conversation: Conversation, instruction: str = "") -> dict[str, Any]:
        system = "\n\n".join(filter(None, (conversation.system, instruction)))
        left_out = TRANSPORT if conversation.tools else (*TRANSPORT, *ONLY_WITH_TOOLS)
        body = {name: value for name, value in self.config.completion_kwargs.items() if name not in left_out}
        written = Written.of(conversation, conversation.tools)
        body |= {"model": self.config.model, "messages": written.messages(system)}
        if conversation.tools:
            body["tools"] = written.tools
        if self.config.checkpoint:
            body["checkpoint"] = self.config.checkpoint
        return body
