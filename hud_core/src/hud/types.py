"""The records of tools, tasks and rollouts, under the names that users know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud._lazy import lazy

if TYPE_CHECKING:
    from hud_core import EnvRef, Rollout, Task, TaskAgentConfig, Tool, ToolCall, ToolResult
    from hud_core import Rollout as Trace
    from hud_core import TaskAgentConfig as BaseAgentConfig
    from hud_core import ToolCall as MCPToolCall
    from hud_core import ToolResult as MCPToolResult
    from hud_core.agents.types import AgentType

__all__ = [
    "AgentType", "BaseAgentConfig", "EnvRef", "MCPToolCall", "MCPToolResult", "Rollout", "Task", "TaskAgentConfig",
    "Tool", "ToolCall", "ToolResult", "Trace",
]  # fmt: skip

_RENAMED = {
    "BaseAgentConfig": "TaskAgentConfig",
    "MCPToolCall": "ToolCall",
    "MCPToolResult": "ToolResult",
    "Trace": "Rollout",
}

__getattr__ = lazy(
    __name__,
    {
        **{name: f"hud_core:{_RENAMED.get(name, name)}" for name in __all__ if name != "AgentType"},
        "AgentType": "hud_core.agents.types:AgentType",
    },
    {"LegacyTask": ("hud_huggingface:LegacyTask", "hud-huggingface")},
)
