"""How a LegacyTask runs: its servers are one environment, whose scenario calls the tools that set up and score."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hud_core.environment.environment import Environment
from hud_core.environment.tools import LocalTools, current_tools
from hud_core.errors import ConfigError, GraderError, SetupError, ToolError, closest
from hud_core.interfaces import Backend
from hud_core.model.content import TextContent
from hud_core.model.task import EnvRef
from hud_core.model.tools import ToolCall
from hud_core.templates import braced
from hud_huggingface.rewards import mean_of, reward_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from hud_core.environment.session import Session
    from hud_core.errors import RolloutError
    from hud_core.model.evaluation import Evaluation
    from hud_core.model.task import Recipe
    from hud_core.model.tools import ToolResult

Call = dict[str, Any]
"""A tool call as JSON data: ``{"name": ..., "arguments": {...}}``."""


class LegacyBackend(Backend):
    """Opens the environment behind the servers of a LegacyTask: each rollout has connections of its own."""

    def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> AbstractAsyncContextManager[Session]:  # noqa: ARG002  servers take none
        """Open the environment that the option ``mcp_config`` describes; whoever runs it opens its connections.

        Raises:
            ConfigError: There is no such option.
        """
        servers = ref.options.get("mcp_config") if isinstance(ref, EnvRef) else None
        if not isinstance(servers, dict):
            msg = f"backend 'legacy' opens the environments of LegacyTask rows; {ref.name!r} has no option mcp_config"
            raise ConfigError(msg)
        return _session(legacy_environment(servers, ref.name))


@asynccontextmanager
async def _session(environment: Environment) -> AsyncIterator[Session]:
    yield environment.session()  # its scenario has nothing to clean up, and its connections are not ours


def legacy_environment(mcp_config: Mapping[str, Any], name: str = "legacy") -> Environment:
    """Make the environment of a LegacyTask, with the scenario ``legacy``.

    Args:
        mcp_config: The servers, with templates: they are replaced when a connection is opened.
        name: The environment's name.

    Raises:
        DefinitionError: A server is neither a command nor a url, or one of its options is wrong.
    """
    env = Environment(name)
    env.connect_mcp_config(one_syntax(mcp_config))

    @env.scenario("legacy")
    async def legacy(prompt: str, setup: list[Call], evaluate: list[Call], pictures: bool = True) -> Any:  # noqa: FBT001, FBT002, ANN401  arguments of a task's row; a generator
        """Prepare, ask, and score with tools of the servers."""
        await set_up(env, setup, pictures=pictures)
        yield prompt
        yield await scored(env, evaluate)

    return env


async def set_up(env: Environment, calls: Iterable[Call], *, pictures: bool = True) -> None:
    """Call setup tools, in a scenario and before its prompt.

    Args:
        env: The scenario's environment.
        calls: The calls, in their order.
        pictures: Whether pictures that they give are part of what the agent may be shown.

    Raises:
        SetupError: There is no such tool, or it failed.
    """
    for call in calls:
        await _called(env, call, "setup_tool", SetupError)
    tools = current_tools.get()
    if not pictures and isinstance(tools, LocalTools) and tools.setup_output:
        tools.setup_output[:] = [block for block in tools.setup_output if isinstance(block, TextContent)]


async def scored(env: Environment, calls: Iterable[Call]) -> Evaluation:
    """Call evaluate tools, in a scenario and after its prompt, and give the mean of their rewards.

    Raises:
        GraderError: There is no call or no such tool, a tool failed, or its result has no reward.
    """
    results = [(call["name"], await _called(env, call, "evaluate_tool", GraderError)) for call in calls]
    if not results:
        raise GraderError("the task has no evaluate_tool, so nothing scores it")
    return mean_of([(name, reward_of(result, name)) for name, result in results])


async def _called(env: Environment, call: Call, field: str, failure: type[RolloutError]) -> ToolResult:
    """Call a tool of a task's row.

    Where there is no such tool, but the one that it would dispatch to, that one is called: ``setup(name="navigate",
    arguments={...})`` is ``navigate(...)``.

    Raises:
        RolloutError: There is no such tool, or it failed: a `failure`, which names the row's field.
    """
    name, arguments = call["name"], call.get("arguments") or {}
    names = [tool.name for tool in await env.list_tools()]
    inner = arguments.get("arguments")
    if name not in names and arguments.get("name") in names and isinstance(inner, dict):
        name, arguments = arguments["name"], inner
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise failure(f"{field}: the servers have no tool {name!r}{closest(name, names)}; they have {known}")
    try:
        return await env.call_tool(ToolCall(name, arguments))
    except ToolError as error:
        raise failure(f"{field} {name!r} failed: {error}") from None


def one_syntax(value: Any) -> Any:  # noqa: ANN401  JSON data
    """Write ``$VAR`` in the way that connections read, at every depth."""
    if isinstance(value, str):
        return braced(value)
    if isinstance(value, dict):
        return {key: one_syntax(item) for key, item in value.items()}
    return [one_syntax(item) for item in value] if isinstance(value, list | tuple) else value
