"""Tools that are Python functions, and the live set of them that one session calls."""

from __future__ import annotations

import contextvars
import functools
import inspect
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from hud_core.environment.connections import LOCAL
from hud_core.environment.session import unknown_tool
from hud_core.environment.signature import Signature
from hud_core.environment.values import tool_result
from hud_core.errors import ArgumentError, BackendError, DefinitionError, ToolError, closest, describe
from hud_core.failures import tell_failure
from hud_core.model.tools import Tool, ToolCall, ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from hud_core.environment.mocks import MockRun
    from hud_core.environment.publications import Publications
    from hud_core.environment.scenario import ScenarioOptions
    from hud_core.environment.session import Told, Tools
    from hud_core.model.content import Content

T = TypeVar("T")

current_tools: contextvars.ContextVar[Tools | None] = contextvars.ContextVar("hud_tools", default=None)
"""The tools of the rollout whose scenario or tool code is running: what ``env.call_tool`` reaches."""


class ToolFunction:
    """A Python function as a tool: its description and its strict arguments.

    Args:
        function: A function, or an object with ``__call__``. Sync ones run in a worker thread.
        name: The function's name by default.
        description: The docstring by default, without what it says of parameters: that is in the schema.
        title: A name for people, kept in `meta`.
        tags: Words to select tools by, kept in `meta`.
        meta: Hints for agents.
        blocking: Whether a sync function may block; false runs it on the event loop, which is faster.

    Raises:
        DefinitionError: A parameter has no JSON form, or the function yields.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        title: str | None = None,
        tags: Iterable[str] = (),
        meta: dict[str, Any] | None = None,
        blocking: bool = True,
    ) -> None:
        plain = _plain(function)
        self.function = function
        self.name: str = name or str(getattr(plain, "__name__", type(plain).__name__.lower()))
        subject = f"tool {self.name!r}"
        call = plain if inspect.isroutine(plain) or inspect.isclass(plain) else type(plain).__call__
        if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
            msg = f"{subject} must return its result, but it yields; return a list, or declare a scenario"
            raise DefinitionError(msg)
        self.signature: Signature = Signature(subject, function)
        self.tool: Tool = Tool(
            name=self.name,
            description=self.signature.description if description is None else description,
            input_schema=self.signature.schema,
            meta={**({"title": title} if title else {}), **({"tags": sorted(tags)} if tags else {}), **(meta or {})},
        )
        self._in_thread = blocking and not inspect.iscoroutinefunction(call)

    async def call(self, call: ToolCall) -> ToolResult:
        """Call the function; whatever it raises is a result with `is_error`.

        Raises:
            BackendError: The function called a tool elsewhere, and that environment was lost.
        """
        try:
            arguments = self.signature.bind(call.arguments)
            value = await self._run_in_thread(arguments) if self._in_thread else self.function(**arguments)
            if inspect.isawaitable(value):
                value = await value
            return tool_result(value, call.id)
        except BackendError:
            raise
        except (ArgumentError, ToolError) as error:
            return ToolResult.error(str(error), call.id)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a tool's bug, or its exit(), is the agent's to read
            tell_failure(f"tool {self.name!r}", error)
            return ToolResult.error(f"tool {self.name!r} failed: {describe(error)}", call.id)

    def check(self, call: ToolCall) -> ToolResult | None:
        """Say what is wrong with a call's arguments; None when nothing is."""
        try:
            self.signature.bind(call.arguments)
        except ArgumentError as error:
            return ToolResult.error(str(error), call.id)
        return None

    async def _run_in_thread(self, arguments: dict[str, Any]) -> Any:  # noqa: ANN401  what the function returns
        (value,) = await anyio.to_thread.run_sync(_in_thread, self.function, arguments, abandon_on_cancel=True)
        return value


def check_options(options: Mapping[str, Any]) -> None:
    """See that a tool's options exist.

    Raises:
        DefinitionError: One does not; the message says which do.
    """
    known = [name for name in inspect.signature(ToolFunction).parameters if name != "function"]
    for option in options:
        if option not in known:
            msg = f"a tool has no option {option!r}{closest(option, known)}; there are {', '.join(known)}"
            raise DefinitionError(msg)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Find the function that a partial stands for."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _in_thread(function: Callable[..., T], arguments: dict[str, Any]) -> tuple[T]:
    """Call a function, and wrap what it returns: a bare coroutine may not leave a thread on trio."""
    try:
        return (function(**arguments),)
    except (StopIteration, SystemExit) as error:  # the first gets lost between threads, the second ends this one
        raise RuntimeError(describe(error)) from error


class LocalTools:
    """The tool functions of one session. Holds the functions and nothing else: no scenario, no session."""

    __slots__ = ("_functions", "_hidden", "mocks", "publications", "setup_output")

    def __init__(
        self,
        functions: Mapping[str, ToolFunction],
        mocks: MockRun | None = None,
        publications: Publications | None = None,
    ) -> None:
        self._functions = functions
        self.publications: Publications | None = publications
        """The prompts and resources beside these tools; None where there are none."""
        self._hidden: Collection[str] = ()
        self.mocks: MockRun | None = mocks
        """Results that tools give instead of running; None where none does."""
        self.setup_output: list[Content] | None = None
        """What the running scenario's own calls gave so far, up to its prompt; None at any other time."""

    def hide(self, options: ScenarioOptions | None) -> None:
        """Leave tools out of the list, as the running scenario asks; scenario code still reaches them."""
        self._hidden = hidden_by(options, dict.fromkeys(self._functions, LOCAL))

    def serves(self, functions: Mapping[str, ToolFunction]) -> bool:
        """Whether these are the tools of the environment that declares `functions`."""
        return self._functions is functions

    def known(self) -> list[Tool]:
        """Give the tools that the running scenario shows, as far as they are known without asking anybody."""
        return [function.tool for name, function in self._functions.items() if name not in self._hidden]

    def follow(self, told: Told) -> None:
        """Never call `told`: functions stay the same."""

    async def list_tools(self) -> Sequence[Tool]:
        """List the tools that the running scenario shows."""
        return self.known()

    async def call_tool(self, call: ToolCall) -> ToolResult:
        """Call a tool function, with this session's tools behind ``env.call_tool``."""
        function = self._functions.get(call.name)
        if function is None or self._is_hidden(call.name):
            return unknown_tool(call, [tool.name for tool in self.known()])
        if self.mocks is not None and (mocked := self.mocks.result(call)) is not None:
            return function.check(call) or mocked
        token = current_tools.set(self)
        try:
            return await function.call(call)
        finally:
            current_tools.reset(token)

    def _is_hidden(self, name: str) -> bool:
        """Whether a tool is hidden from whoever is calling; nothing is from this session's own code."""
        return name in self._hidden and current_tools.get() is not self


def hidden_by(options: ScenarioOptions | None, sources: Mapping[str, str]) -> Collection[str]:
    """Say which tools a scenario hides from the agent, of those given with their sources."""
    if options is None or not (options.exclude_tools or options.exclude_sources):
        return ()  # an empty frozenset is a new one each time
    excluded = (
        name
        for name, source in sources.items()
        if source in options.exclude_sources or _matches(name, options.exclude_tools)
    )
    return frozenset(name for name in excluded if not _matches(name, options.allowed_tools))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
