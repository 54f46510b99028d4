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

    from hud_core.agents import BaseAgentConfig, Conversation
    from hud_core.environment.session import Toolbox


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

    async def prepare(self, conversation: Conversation, toolbox: Toolbox) -> Toolbox:
        """See that there is a computer.

        Raises:
            AgentError: There is none.
        """
        toolbox = await super().prepare(conversation, toolbox)
        if computer_of(conversation.native) is None:
            known = ", ".join(tool.name for tool in await toolbox.list_tools()) or "none"
            raise AgentError(
                "gemini_cua needs a computer: a tool named 'gemini_computer', or one whose meta has "
                f"native_tools.gemini_cua with api_type 'computer_use'; tools: {known}"
            )
        return toolbox
