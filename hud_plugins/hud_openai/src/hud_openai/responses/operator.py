"""The agent on the model ``computer-use-preview``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hud_core.errors import AgentError
from hud_openai.responses.agent import OpenAIAgent
from hud_openai.responses.config import OperatorConfig
from hud_openai.responses.tools import COMPUTERS, PREVIEW, wire_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hud_core.agents import BaseAgentConfig, Conversation, NativeTool
    from hud_core.environment.session import Toolbox

AUTONOMY = (
    "You operate this computer by yourself: nobody watches, and nobody will answer a question or a request for "
    "confirmation. You have permission for everything that the task needs. Act rather than announce what you will do, "
    "and go on until the task is done; then say what came of it."
)


class OperatorAgent(OpenAIAgent):
    """An agent on OpenAI's computer-use model; the environment needs a computer tool.

    Args:
        options: The fields of `OperatorConfig`, and further ones of the API.

    Raises:
        ConfigError: A setting is unknown or wrong, or there is no endpoint to ask.
    """

    config_class: ClassVar[type[BaseAgentConfig]] = OperatorConfig
    agent_type: ClassVar[str] = "operator"
    known_tools: ClassVar[Mapping[str, NativeTool]] = {"openai_computer": PREVIEW}
    config: OperatorConfig

    async def prepare(self, conversation: Conversation, toolbox: Toolbox) -> Toolbox:
        """See that there is a computer.

        Raises:
            AgentError: There is none.
        """
        toolbox = await super().prepare(conversation, toolbox)
        if not any(form.api_type in COMPUTERS for form in conversation.native):
            known = ", ".join(tool.name for tool in await toolbox.list_tools()) or "none"
            raise AgentError(
                "operator needs a computer: a tool 'openai_computer', or one that is marked as such by "
                f"meta={{'native_tools': {{'operator': {{'api_type': 'computer_use_preview', ...}}}}}}; tools: {known}"
            )
        return toolbox

    def _instructions(self, conversation: Conversation) -> str:
        if not conversation.native:
            return conversation.system  # the model is asked about itself, not to act
        return "\n\n".join(filter(None, (conversation.system, AUTONOMY)))

    def _tools(self, conversation: Conversation) -> list[dict[str, Any]]:
        return wire_tools(conversation, strict=self._takes_strict, environment=self.config.environment)
