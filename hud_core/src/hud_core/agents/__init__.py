"""What agents on model APIs share: the model-tool loop, its conversation and its settings. No vendor is known here."""

from __future__ import annotations

from hud_core.agents.config import BaseAgentConfig
from hud_core.agents.conversation import Conversation, MalformedCall, ModelTurn, ToolTurn, read_call, schema_instruction
from hud_core.agents.loop import ToolLoopAgent
from hud_core.agents.native import NativeTool
from hud_core.agents.types import AgentType
from hud_core.agents.written import WrittenOnce

__all__ = [
    "AgentType",
    "BaseAgentConfig",
    "Conversation",
    "MalformedCall",
    "ModelTurn",
    "NativeTool",
    "ToolLoopAgent",
    "ToolTurn",
    "WrittenOnce",
    "read_call",
    "schema_instruction",
]
