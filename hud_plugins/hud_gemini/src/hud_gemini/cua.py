"""The agent that operates a browser with Gemini's own computer tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hud_core.agents import NativeTool
from hud_core.errors import AgentError
from hud_gemini.agent import GeminiAgent
from hud_gemini.config import GeminiCUAConfig
from hud_gemini.tools import COMPUTER_USE, computer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.agents import BaseAgentConfig, Conversation, ModelTurn


class GeminiCUAAgent(GeminiAgent):
    """An agent on Gemini's computer-use models. The environment needs the tool ``gemini_computer``.

    ```python
    agent = GeminiCUAAgent.create(excluded_predefined_functions=["drag_and_drop"])
    ```

    Args:
        options: The fields of `GeminiCUAConfig`.

    Raises:
        ConfigError: A setting is unknown or wrong, or there is no key.
    """

    config_class: ClassVar[type[BaseAgentConfig]] = GeminiCUAConfig
    agent_type: ClassVar[str] = "gemini_cua"
    known_tools: ClassVar[Mapping[str, NativeTool]] = {
        "gemini_computer": NativeTool(api_type=COMPUTER_USE, api_name="gemini_computer", role="computer")
    }
    config: GeminiCUAConfig

    async def respond(self, conversation: Conversation) -> ModelTurn:
        """Send the conversation, read the model's turn.

        Raises:
            AgentError: The environment has no computer tool.
        """
        if computer_of(conversation.native) is None:
            known = ", ".join(tool.name for tool in conversation.tools) or "none"
            raise AgentError(
                "gemini_cua needs a computer: a tool named 'gemini_computer', or one whose meta has "
                f"native_tools.gemini_cua with api_type 'computer_use'; tools: {known}"
            )
        return await super().respond(conversation)
