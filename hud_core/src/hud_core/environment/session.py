"""One live environment, seen from two sides: the harness's `Session` and the agent's `Toolbox`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve

from hud_core.errors import ConfigError
from hud_core.model.tools import Tool, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Answer, Evaluation
    from hud_core.model.publications import ListedPrompt


LISTS = ("tools", "prompts", "resources")
"""What an environment lists."""
Told = Callable[[str], None]
"""Is called with the name of a list that changed."""


class Tools(Protocol):
    """**Protocol:** the tools of one live environment. Holds no way back to the session.

    Where it has an attribute ``revision``, a number that grows when the list changes, the list is asked for again only
    then. Where it has a method ``follow(told)``, `told` is called with ``tools``, ``prompts`` or ``resources`` when it
    becomes known that this list of the environment changed. Where it has an attribute ``publications``, those are the
    `Publications` of the environment, or None.
    """

    async def list_tools(self) -> Sequence[Tool]:
        """List every tool that the running scenario shows."""

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Call a tool. Whatever the tool does wrong is a result with `is_error`; only a lost backend raises."""


class Session(ABC):
    """One live environment for one rollout, as the harness sees it. Agents never hold one."""

    @property
    @abstractmethod
    def tools(self) -> Tools:
        """The tools, as an object that knows nothing of the session."""

    @property
    def is_lost(self) -> bool:
        """Whether the environment is known to be gone. False where that shows only when it is asked for something."""
        return False

    @abstractmethod
    async def setup(self, scenario: str, args: Mapping[str, Any]) -> Prompt:
        """Run a scenario up to its prompt.

        Raises:
            ArgumentError: The scenario does not take these arguments.
            SetupError: There is no such scenario, or it gave no prompt.
        """

    @abstractmethod
    async def grade(self, answer: Answer) -> Evaluation:
        """Send the answer to the scenario and read its score.

        Raises:
            GraderError: The scenario gave no score, or one that is not finite.
        """

    async def aclose(self) -> None:
        """End the scenario that was set up: its ``finally`` blocks run now, in the task that drives the session.

        Does nothing where they run elsewhere, and closing the session ends them. May be called again.
        """

    async def list_scenarios(self) -> Sequence[str] | None:
        """List the scenarios that can be set up, as ``environment:scenario``; None when the session cannot tell."""
        return None

    async def describe_scenarios(self) -> Sequence[ListedPrompt]:
        """Describe the scenarios that can be set up; by their names alone where the session knows no more.

        Raises:
            BackendError: The environment is lost.
        """
        from hud_core.model.publications import ListedPrompt  # only who serves an environment asks

        return [ListedPrompt(name=name) for name in await self.list_scenarios() or ()]

    async def list_tools(self) -> Sequence[Tool]:
        """List the session's tools."""
        return await self.tools.list_tools()

    async def call_tool(self, call: ToolCall | str, /, **arguments: Any) -> ToolResult:
        """Call a tool as the harness, past any filter."""
        return await self.tools.call_tool(as_call(call, arguments))


class ToolFilter:
    """Which tools an agent sees: `fnmatch` patterns to allow, then patterns to deny.

    Names that begin with an underscore are internal and never shown.

    Args:
        allowed: Patterns of which one must match; None allows everything.
        disallowed: Patterns of which none may match.
        within: Another filter that must show the tool too.
    """

    __slots__ = ("_allowed", "_disallowed", "_shows_all", "_within")

    def __init__(
        self,
        allowed: Sequence[str] | None = None,
        disallowed: Sequence[str] | None = None,
        within: ToolFilter | None = None,
    ) -> None:
        self._allowed = tuple(allowed) if allowed is not None else None
        self._disallowed = tuple(disallowed or ())
        self._within = within
        self._shows_all = allowed is None and not disallowed and within is None

    def __contains__(self, name: str) -> bool:
        if name.startswith("_"):
            return False
        if self._shows_all:
            return True
        if self._within is not None and name not in self._within:
            return False
        if self._allowed is not None and not any(fnmatchcase(name, pattern) for pattern in self._allowed):
            return False
        return not any(fnmatchcase(name, pattern) for pattern in self._disallowed)


class Toolbox:
    """What an agent sees of a session: list tools, call tools. Nothing else.

    Args:
        tools: The live environment's tools.
        shown: Which of them the agent may see and call.
        observe: Told of each call and of its result, for the trace.
    """

    __slots__ = ("_observe", "_shown", "_tools")

    def __init__(
        self,
        tools: Tools,
        shown: ToolFilter | None = None,
        observe: Callable[[ToolCall, ToolResult | None], None] | None = None,
    ) -> None:
        self._tools = tools
        self._shown = shown or ToolFilter()
        self._observe = observe

    async def list_tools(self) -> list[Tool]:
        """List the tools that may be called. Their schemas are the caller's own, to adapt to what a model takes."""
        return [
            evolve(tool, input_schema=deepcopy(tool.input_schema), meta=deepcopy(tool.meta))
            for tool in await self._tools.list_tools()
            if tool.name in self._shown
        ]

    async def call_tool(self, call: ToolCall | str, /, **arguments: Any) -> ToolResult:
        """Call a tool, as ``call_tool(call)`` or ``call_tool("name", **arguments)``.

        A tool that fails, or does not exist, is a result with `is_error`: the agent reads it and goes on.
        """
        call = as_call(call, arguments)
        if self._observe is None:
            return await self._call(call)
        self._observe(call, None)
        result = await self._call(call)
        self._observe(call, result)
        return result

    async def _call(self, call: ToolCall) -> ToolResult:
        if call.name in self._shown:
            result = await self._tools.call_tool(call)
            if not result.is_error or not result.text.startswith(unknown_text(call)):
                return result
        # The tools would name every tool there is; only the toolbox knows which of them this agent may know.
        return unknown_tool(call, [t.name for t in await self._tools.list_tools() if t.name in self._shown])


def unknown_tool(call: ToolCall, names: Sequence[str]) -> ToolResult:
    """Make the result of calling a tool that is not there."""
    return ToolResult.error(f"{unknown_text(call)}; there are {', '.join(names) or 'no tools'}", call.id)


def unknown_text(call: ToolCall) -> str:
    """Give how the result of calling a tool that is not there begins."""
    return f"unknown tool {call.name!r}"


def as_call(call: ToolCall | str, arguments: dict[str, Any]) -> ToolCall:
    """Read the two ways to call a tool as one, with a name that is plain text and stays what it is.

    The name is looked at more than once, by filters and by the tools. Text of a subclass, or a call that computes its
    name, could be another one each time.
    """
    if isinstance(call, str):
        return ToolCall(str.__str__(call), arguments)
    if arguments:
        msg = f"give the arguments of {call.name!r} in the ToolCall, or call it by its name"
        raise ConfigError(msg)
    if type(call) is ToolCall and type(call.name) is str:
        return call
    return ToolCall(str.__str__(call.name), call.arguments, call.id)
