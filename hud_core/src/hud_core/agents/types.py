"""The well-known agents, by the names that they are called by."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_core.agents.config import BaseAgentConfig
    from hud_core.interfaces import Agent
    from hud_core.kernel import Kernel


class AgentType(StrEnum):
    """The name of a well-known agent; wherever an agent's name is taken, a member may stand."""

    CLAUDE = "claude"
    OPENAI = "openai"
    OPERATOR = "operator"
    GEMINI = "gemini"
    GEMINI_CUA = "gemini_cua"
    OPENAI_COMPATIBLE = "openai_compatible"
    INTEGRATION_TEST = "integration_test"
    """Replays a task's solution; it is the agent ``oracle``."""

    @property
    def cls(self) -> Callable[..., Agent]:
        """The agent's class, imported now.

        Raises:
            UnknownProviderError: It is not installed; the message names the distribution that has it.
            ImportError: What it needs is not installed.
        """
        return self.load()

    @property
    def config_cls(self) -> type[BaseAgentConfig]:
        """The class of the agent's settings; it needs no vendor's SDK.

        Raises:
            UnknownProviderError: The agent is not installed; the message names the distribution that has it.
            ConfigError: The agent has no such class.
        """
        config: type[BaseAgentConfig] | None = getattr(self.cls, "config_class", None)
        if config is None:
            raise ConfigError(f"agent {self.value!r} has no settings class: it runs no model")
        return config

    def load(self, kernel: Kernel | None = None) -> Callable[..., Agent]:
        """Import the agent's class from a kernel's plugins; by default from all that are installed."""
        from hud_core.kernel import AGENT_ALIASES, Kernel

        return (kernel or Kernel()).agents[AGENT_ALIASES.get(self, self.value)].load()
