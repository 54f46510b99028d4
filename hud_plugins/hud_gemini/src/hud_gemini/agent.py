"""The agent on the Gemini API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from hud_core import trace
from hud_core.agents import NativeTool, ToolLoopAgent, schema_instruction
from hud_gemini.client import Endpoint, RejectedError
from hud_gemini.config import GeminiConfig
from hud_gemini.contents import Written, wire_system
from hud_gemini.replies import read_reply
from hud_gemini.schemas import wire_schema
from hud_gemini.tools import COMPUTER_USE, wire_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.agents import BaseAgentConfig, Conversation, ModelTurn

SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_output_tokens": "maxOutputTokens",
    "stop_sequences": "stopSequences",
    "seed": "seed",
}
"""Settings and their names in ``generationConfig``."""


THOUGHTLESS = re.compile(r"gemini-(1|2\.0)[.-]")
"""Models that do not think."""


class GeminiAgent(ToolLoopAgent):
    """An agent on Google's Gemini models, through the Gemini API or Vertex AI.

    ```python
    agent = GeminiAgent.create(model="gemini-3-pro-preview", thinking_level="low")
    ```

    Args:
        options: The fields of `GeminiConfig`.

    Raises:
        ConfigError: A setting is unknown or wrong, or there is no key.
    """

    config_class: ClassVar[type[BaseAgentConfig]] = GeminiConfig
    agent_type: ClassVar[str] = "gemini"
    known_tools: ClassVar[Mapping[str, NativeTool]] = {
        "gemini_computer": NativeTool(
            api_type=COMPUTER_USE, api_name="gemini_computer", role="computer", supported_models=("*computer-use*",)
        )
    }
    config: GeminiConfig

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._endpoint = Endpoint(self.config)
        self._schemaless: set[bool] = set()

    async def respond(self, conversation: Conversation) -> ModelTurn:
        """Send the conversation, read the model's turn."""
        schema = conversation.answer_schema
        has_tools = bool(conversation.tools or conversation.native)
        if schema is None or has_tools in self._schemaless:
            instruction = schema_instruction(schema) if schema else ""
            return await self._send(conversation, instruction)
        try:
            return await self._send(conversation, schema=schema)
        except RejectedError as error:  # Gemini 2 takes no schema beside functions
            turn = await self._send(conversation, schema_instruction(schema))
            self._schemaless.add(has_tools)  # the request was fine but for its schema: do not try again
            trace.log_line(f"the endpoint takes no answer schema here, so the prompt holds it: {error}", source="agent")
            return turn

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()

    async def _send(
        self, conversation: Conversation, instruction: str = "", schema: dict[str, Any] | None = None
    ) -> ModelTurn:
        body = self._body(conversation, instruction, schema)
        answer = await self._endpoint.generate(body)
        return read_reply(answer, conversation, self.config.excluded_predefined_functions)

    def _body(self, conversation: Conversation, instruction: str, schema: dict[str, Any] | None) -> dict[str, Any]:
        config = self.config
        more = {name: value for name, value in config.extra_body.items() if name != "generationConfig"}
        generation = self._generation(schema) | config.extra_body.get("generationConfig", {})
        written = Written.of(conversation, config)
        body = {"contents": written.contents, "generationConfig": generation, **more}
        if system := "\n\n".join(filter(None, (wire_system(conversation), instruction))):
            body["systemInstruction"] = {"parts": [{"text": system}]}
        if config.safety_settings:
            body["safetySettings"] = [
                {"category": category, "threshold": threshold} for category, threshold in config.safety_settings.items()
            ]
        return body | wire_tools(conversation, config, written.functions)

    def _generation(self, schema: dict[str, Any] | None) -> dict[str, Any]:
        config = self.config
        chosen = {wire: getattr(config, name) for name, wire in SAMPLING.items()}
        thinks = config.thinking_budget != 0 and not THOUGHTLESS.match((config.model or "").rpartition("/")[2])
        thinking = {
            "includeThoughts": config.include_thoughts if thinks else None,  # else the API rejects the request
            "thinkingLevel": config.thinking_level and config.thinking_level.upper(),
            "thinkingBudget": config.thinking_budget,
        }
        answer = {"responseMimeType": "application/json", "responseJsonSchema": wire_schema(schema)} if schema else {}
        return _given({**chosen, "thinkingConfig": _given(thinking) or None, **answer})


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
