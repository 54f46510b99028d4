"""hud_core: the kernel for agent evaluations and RL environments.

It knows how a job of agent rollouts runs. Where environments live, which model answers, how an answer is scored, where
tasks come from and where results go are hooks that plugins fill. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from hud_core.agents import ToolLoopAgent
    from hud_core.environment.connections import Connection
    from hud_core.environment.environment import Environment
    from hud_core.environment.routing import ConflictResolution
    from hud_core.environment.scenario import ScenarioHandle
    from hud_core.environment.session import Session, Toolbox
    from hud_core.errors import (
        AgentError,
        ArgumentError,
        BackendError,
        BudgetError,
        Cause,
        ConfigError,
        ContextOverflowError,
        DefinitionError,
        GraderError,
        HudError,
        LostError,
        PluginError,
        ProviderError,
        RolloutError,
        RunDirectoryError,
        SetupError,
        TaskDataError,
        ToolError,
        UnknownProviderError,
    )
    from hud_core.hookspecs import hookimpl
    from hud_core.interfaces import (
        Agent,
        Backend,
        Cancelled,
        Executor,
        Grader,
        JobHandle,
        ResultSink,
        Solution,
        SolutionAgent,
        SyncPlan,
        SyncReport,
        TaskSink,
        TaskSource,
    )
    from hud_core.job import Group, Job, JobControl, Progress, Retries, Summary, Timeouts, run
    from hud_core.job.batch import EvalBatch, evaluate
    from hud_core.job.context import EvalContext
    from hud_core.kernel import Kernel
    from hud_core.model.content import (
        AudioContent,
        Citation,
        ImageContent,
        Message,
        Prompt,
        ResourceContent,
        TextContent,
    )
    from hud_core.model.evaluation import AgentAnswer, Answer, Evaluation, StopReason, SubScore
    from hud_core.model.rollout import Rollout, Status, Usage
    from hud_core.model.task import EnvRef, Task, TaskAgentConfig
    from hud_core.model.tools import Tool, ToolCall, ToolResult
    from hud_core.providers import Command, Provider
    from hud_core.registry import Registry

_HOMES = {
    "agents": ("ToolLoopAgent",),
    "environment.connections": ("Connection",),
    "environment.environment": ("Environment",),
    "environment.routing": ("ConflictResolution",),
    "environment.scenario": ("ScenarioHandle",),
    "environment.session": ("Session", "Toolbox"),
    "errors": (
        "AgentError", "ArgumentError", "BackendError", "BudgetError", "Cause", "ConfigError", "ContextOverflowError",
        "DefinitionError", "GraderError", "HudError", "LostError", "PluginError", "ProviderError", "RolloutError",
        "RunDirectoryError", "SetupError", "TaskDataError", "ToolError", "UnknownProviderError",
    ),
    "hookspecs": ("hookimpl",),
    "interfaces": (
        "Agent", "Backend", "Cancelled", "Executor", "Grader", "JobHandle", "ResultSink", "Solution", "SolutionAgent",
        "SyncPlan", "SyncReport", "TaskSink", "TaskSource",
    ),
    "job": ("Group", "Job", "JobControl", "Progress", "Retries", "Summary", "Timeouts", "run"),
    "job.batch": ("EvalBatch", "evaluate"),
    "job.context": ("EvalContext",),
    "kernel": ("Kernel",),
    "model.content": (
        "AudioContent", "Citation", "ImageContent", "Message", "Prompt", "ResourceContent", "TextContent",
    ),
    "model.evaluation": ("AgentAnswer", "Answer", "Evaluation", "StopReason", "SubScore"),
    "model.rollout": ("Rollout", "Status", "Usage"),
    "model.task": ("EnvRef", "Task", "TaskAgentConfig"),
    "model.tools": ("Tool", "ToolCall", "ToolResult"),
    "providers": ("Command", "Provider"),
    "registry": ("Registry",),
}  # fmt: skip
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentAnswer",
    "AgentError",
    "Answer",
    "ArgumentError",
    "AudioContent",
    "Backend",
    "BackendError",
    "BudgetError",
    "Cancelled",
    "Cause",
    "Citation",
    "Command",
    "ConfigError",
    "ConflictResolution",
    "Connection",
    "ContextOverflowError",
    "DefinitionError",
    "EnvRef",
    "Environment",
    "EvalBatch",
    "EvalContext",
    "Evaluation",
    "Executor",
    "Grader",
    "GraderError",
    "Group",
    "HudError",
    "ImageContent",
    "Job",
    "JobControl",
    "JobHandle",
    "Kernel",
    "LostError",
    "Message",
    "PluginError",
    "Progress",
    "Prompt",
    "Provider",
    "ProviderError",
    "Registry",
    "ResourceContent",
    "ResultSink",
    "Retries",
    "Rollout",
    "RolloutError",
    "RunDirectoryError",
    "ScenarioHandle",
    "Session",
    "SetupError",
    "Solution",
    "SolutionAgent",
    "Status",
    "StopReason",
    "SubScore",
    "Summary",
    "SyncPlan",
    "SyncReport",
    "Task",
    "TaskAgentConfig",
    "TaskDataError",
    "TaskSink",
    "TaskSource",
    "TextContent",
    "Timeouts",
    "Tool",
    "ToolCall",
    "ToolError",
    "ToolLoopAgent",
    "ToolResult",
    "Toolbox",
    "UnknownProviderError",
    "Usage",
    "__version__",
    "evaluate",
    "hookimpl",
    "run",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from hud_core.entrypoints import own_version

        return own_version()
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(importlib.import_module(f"hud_core.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
