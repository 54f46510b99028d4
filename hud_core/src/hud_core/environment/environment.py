"""The environment as a recipe: a name, tools, scenarios and hooks. It declares; it never runs."""

from __future__ import annotations

import re
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

import anyio

from hud_core.environment.connections import Connection, Connects
from hud_core.environment.live import LiveSession
from hud_core.environment.mocks import Mocks
from hud_core.environment.offers import OffersTools
from hud_core.environment.routing import ConflictResolution
from hud_core.environment.scenario import ScenarioHandle, read_options
from hud_core.environment.serving import Serves
from hud_core.environment.tools import LocalTools, ToolFunction, check_options, current_tools
from hud_core.errors import ConfigError, DefinitionError, ToolError
from hud_core.model.task import Task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from types import FrameType, TracebackType

    from hud_core.environment.publications import Publications
    from hud_core.environment.session import Tools
    from hud_core.model.tools import Tool, ToolCall, ToolResult

P = ParamSpec("P")
F = TypeVar("F", bound="Callable[..., Any]")

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


class Environment(Connects, Mocks, OffersTools, Serves):
    """A recipe for environments: tools that agents call, scenarios that ask and grade.

    Args:
        name: Lower-cased, with spaces and underscores as hyphens and everything else dropped.
        instructions: Free text for agents and MCP clients.
        conflict_resolution: What to do when two connections offer a tool of one name.

    Raises:
        DefinitionError: There is no such `conflict_resolution`.
    """

    def __init__(
        self,
        name: str = "environment",
        instructions: str | None = None,
        conflict_resolution: ConflictResolution | str = ConflictResolution.PREFIX,
    ) -> None:
        self.name: str = normalise(name)
        self.instructions = instructions
        self.conflict_resolution: ConflictResolution = _strategy(conflict_resolution)
        self.scenarios: dict[str, ScenarioHandle[...]] = {}
        self.tool_functions: dict[str, ToolFunction] = {}
        self.connections: dict[str, Connection] = {}
        self.on_initialize: list[Callable[..., Any]] = []
        self.on_shutdown: list[Callable[..., Any]] = []
        self.published: Publications | None = None
        """What `resource` and `prompt` declare; None where nothing is declared."""
        self._entered: list[LiveSession] = []
        self._open: list[tuple[int, AsyncExitStack]] = []
        self.unmock()
        self.origin: Mapping[str, str | None] = _origin(self, sys._getframe(1))  # noqa: SLF001  the declaring module
        """The module and file that declare it, for backends that import it in a process of their own."""

    def __repr__(self) -> str:
        tools, scenarios = list(self.tool_functions), list(self.scenarios)
        joined = f", connections={list(self.connections)}" if self.connections else ""
        return f"Environment({self.name!r}, tools={tools}, scenarios={scenarios}{joined})"

    # --- declaring ----------------------------------------------------------------------------------------------------

    @overload
    def tool(self, function: F, /, *, name: str | None = None, **options: Any) -> F: ...

    @overload
    def tool(self, name: str | None = None, /, **options: Any) -> Callable[[F], F]: ...

    def tool(self, function: object = None, /, *, name: str | None = None, **options: Any) -> object:
        """Declare a tool: ``@env.tool``, ``@env.tool()``, ``@env.tool("name")`` or ``env.tool(function)``.

        The function stays as it is and can be called from scenario code. Its parameters and docstring become what the
        agent reads. Sync functions run in a worker thread; ``blocking=False`` runs one that returns at once on the
        event loop.

        Args:
            function: The function, or the tool's name.
            name: The tool's name; the function's by default.
            options: The arguments of `ToolFunction`, such as ``description=`` or ``blocking=``.

        Raises:
            DefinitionError: The name is taken or not a tool's name, an option is unknown, or a parameter has no JSON
                form.
        """
        if callable(function):
            self.add_tool(function, name=name, **options)
            return function
        if function is not None and not isinstance(function, str):
            msg = f"@env.tool takes a function or a name, got {function!r}"
            raise DefinitionError(msg)
        check_options(options)
        return lambda decorated: self.tool(decorated, name=function or name, **options)

    def add_tool(self, function: Callable[..., Any], **options: Any) -> None:
        """Declare a function, or an object with ``__call__``, as a tool; options as for `tool`."""
        check_options(options)
        tool = ToolFunction(function, **options)
        if not _TOOL_NAME.fullmatch(tool.name):
            msg = f"tool name {tool.name!r} must be 1 to 128 letters, digits, '_' or '-'"
            raise DefinitionError(msg)
        if tool.name in self.tool_functions:
            msg = f"environment {self.name!r} already has a tool {tool.name!r}; give one of them another name"
            raise DefinitionError(msg)
        self.tool_functions[tool.name] = tool

    def scenario(
        self, name: str | None = None, description: str | None = None, **options: Any
    ) -> Callable[[Callable[P, AsyncGenerator[Any, Any]]], ScenarioHandle[P]]:
        """Declare a scenario: an async generator that yields a prompt, receives the answer and yields a score.

        Args:
            name: The function's name by default.
            description: The docstring by default.
            options: The fields of `ScenarioOptions`, such as ``returns=`` for a typed answer.

        Raises:
            DefinitionError: The parentheses are missing, the name is taken, the function is no async generator
                function, an option is unknown, or a parameter has no JSON form.
        """
        parsed = read_options(name, description, options)
        return lambda function: self._add_scenario(ScenarioHandle(self, function, parsed))

    def _add_scenario(self, handle: ScenarioHandle[P]) -> ScenarioHandle[P]:
        if handle.name in self.scenarios:
            msg = f"environment {self.name!r} already has a scenario {handle.name!r}; give one of them another name"
            raise DefinitionError(msg)
        self.scenarios[handle.name] = handle
        return handle

    @overload
    def initialize(self, function: F, /) -> F: ...

    @overload
    def initialize(self, function: None = None, /) -> Callable[[F], F]: ...

    def initialize(self, function: Callable[..., Any] | None = None, /) -> object:
        """Run a function before the environment's first rollout, in every backend: ``@env.initialize``."""
        if function is None:
            return self.initialize
        self.on_initialize.append(function)
        return function

    @overload
    def shutdown(self, function: F, /) -> F: ...

    @overload
    def shutdown(self, function: None = None, /) -> Callable[[F], F]: ...

    def shutdown(self, function: Callable[..., Any] | None = None, /) -> object:
        """Run a function after the environment's last rollout, in every backend: ``@env.shutdown``."""
        if function is None:
            return self.shutdown
        self.on_shutdown.append(function)
        return function

    # --- using --------------------------------------------------------------------------------------------------------

    def __call__(self, scenario: str | None = None, /, **args: Any) -> Task:
        """Make a task of a scenario and its arguments.

        Raises:
            ArgumentError: The scenario is declared here and does not take these arguments.
        """
        owner, _, name = (scenario or "").rpartition(":")
        if name in self.scenarios and owner in ("", self.name):
            return self.scenarios[name].bind(args)
        return Task(env=self, scenario=scenario, args=args)

    async def _called_by_name(self, call: ToolCall) -> ToolResult:
        """Call a tool of the rollout that is running this code, or of the environment itself outside one.

        Raises:
            ToolError: The tool failed; scenario code handles that, or the rollout ends.
        """
        result = await self._called(call)
        if result.is_error:
            raise ToolError(result.text)
        return result

    async def _called(self, call: ToolCall) -> ToolResult:
        tools = self._tools()
        result = await tools.call_tool(call)
        if isinstance(tools, LocalTools) and tools.setup_output is not None and not result.is_error:
            tools.setup_output += result.content
        return result

    async def list_tools(self) -> list[Tool]:
        """List the tools of the rollout that is running this code, or of the environment itself outside one."""
        return list(await self._tools().list_tools())

    def as_tools(self) -> list[Tool]:
        """List the tools without those that are internal; those of connections where they are open already."""
        tools = self._tools()
        known = tools.known() if isinstance(tools, LocalTools) else LocalTools(self.tool_functions).known()
        return [tool for tool in known if not tool.name.startswith("_")]

    def _tools(self) -> Tools:
        current = current_tools.get()
        if current is not None and not (isinstance(current, LocalTools) and not current.serves(self.tool_functions)):
            return current
        if self._entered:
            return self._entered[-1].tools
        return LocalTools(self.tool_functions, self._by_hand, self.published)

    async def __aenter__(self) -> Self:
        """Initialise the environment and open its connections, for code that calls its tools by hand.

        It may be entered more than once; each time has connections of its own, and the latest are called. One that is
        lost is opened again by the next call.

        Raises:
            BackendError: A connection cannot be opened; the message says which, what was tried and what it answered.
            ConfigError: One never can be, or their tools do not fit together.
        """
        from hud_core.job.backends import connected

        await run_hooks(self.on_initialize)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(run_hooks, self.on_shutdown)
            session = self.session()
            await stack.enter_async_context(connected(session, is_lasting=True))
            if self.connections:
                session.tools.mocks = self._by_hand
                self._entered.append(session)
                stack.callback(self._entered.remove, session)
            self._open.append((anyio.get_current_task().id, stack.pop_all()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        task = anyio.get_current_task().id
        latest = max(number for number, (owner, _) in enumerate(self._open) if owner == task)
        _, stack = self._open.pop(latest)
        return await stack.__aexit__(kind, error, traceback)

    def session(self) -> LiveSession:
        """Make a session of the environment in this process, for backends; close it with ``aclose``."""
        return LiveSession(self)

    def digest(self) -> str:
        """Give a digest of what the environment is made of, to tell which earlier rollouts still hold.

        It covers the code of tools and hooks, where connections lead and which of the tools there are taken, and mocks.
        """
        from hud_core.environment.digests import code_digest, digest
        from hud_core.environment.references import connection_digest

        functions = [tool.function for tool in self.tool_functions.values()]
        parts = [code_digest(f) for f in [*functions, *self.on_initialize, *self.on_shutdown]]
        if self.connections:
            parts += [self.conflict_resolution, *map(connection_digest, self.connections.values())]
        if self.is_mock:
            parts.append(self._mock_text())
        return digest(*parts)


async def run_hooks(hooks: list[Callable[..., Any]]) -> None:
    """Run initialize or shutdown functions in their order; sync and async ones."""
    import inspect

    for hook in hooks:
        needed = [p for p in inspect.signature(hook).parameters.values() if p.default is p.empty]
        if needed:
            msg = f"{getattr(hook, '__name__', hook)!r} must take no arguments; it runs without a caller"
            raise ConfigError(msg)
        value: Awaitable[object] | object = hook()
        if inspect.isawaitable(value):
            await value


def normalise(name: str) -> str:
    """Make a name fit for images, URLs and tasksets: ``"My  Weird_Env!!"`` is ``"my-weird-env"``."""
    kept = re.sub(r"[^a-z0-9-]", "", re.sub(r"[\s_]+", "-", name.strip().lower()))
    return re.sub(r"-+", "-", kept).strip("-") or "environment"


def _origin(environment: Environment, frame: FrameType) -> Mapping[str, str | None]:
    """Find the code that makes an environment, behind the constructors of its subclasses."""
    while frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is environment and frame.f_back:
        frame = frame.f_back
    return {"module": frame.f_globals.get("__name__"), "file": frame.f_globals.get("__file__")}


def _strategy(name: ConflictResolution | str) -> ConflictResolution:
    try:
        return ConflictResolution(name)
    except ValueError:
        known = ", ".join(repr(str(strategy)) for strategy in ConflictResolution)
        msg = f"conflict_resolution must be one of {known}, got {name!r}"
        raise DefinitionError(msg) from None
