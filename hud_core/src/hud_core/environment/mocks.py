"""Mocked tools: results that an environment's tools give without running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from attrs import evolve

from hud_core.environment.values import tool_result
from hud_core.errors import DefinitionError, closest, describe
from hud_core.model.tools import ToolResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hud_core.environment.connections import Connection
    from hud_core.environment.live import LiveSession
    from hud_core.environment.tools import ToolFunction
    from hud_core.model.tools import ToolCall

NOTHING: Any = object()
"""Stands for a result that was not given; None is one."""

_BY_NAME = (
    (("screenshot", "image"), "[mock image data]"),
    (("get", "list"), "[]"),
    (("check", "verify"), "true"),
    (("count",), "0"),
)
"""What a tool gives of which nothing was said, by words in its name."""


class MockRun:
    """The mocks of one session: how far each sequence has come. Holds results and nothing else."""

    __slots__ = ("_given", "_is_total", "_results")

    def __init__(self, results: Mapping[str, Sequence[ToolResult]], *, is_total: bool) -> None:
        self._results = results
        self._is_total = is_total
        self._given: dict[str, int] = {}

    def result(self, call: ToolCall) -> ToolResult | None:
        """Give the next result of a tool; None for one that is not mocked."""
        results = self._results.get(call.name)
        if results is None:
            return tool_result(_guess(call.name), call.id) if self._is_total else None
        turn = self._given.get(call.name, 0)
        self._given[call.name] = turn + 1
        return evolve(results[min(turn, len(results) - 1)], call_id=call.id)

    def missing(self, names: Iterable[str]) -> str | None:
        """Say which mocked tool is none of these; None when all are."""
        known = list(names)
        return next((unknown_mock(name, known) for name in self._results if name not in known), None)


def _guess(name: str) -> str:
    return next((text for words, text in _BY_NAME if any(word in name for word in words)), "mock_success")


def unknown_mock(name: str, known: Iterable[str]) -> str:
    """Say that a mocked tool does not exist."""
    known = list(known)
    return f"there is no tool {name!r} to mock{closest(name, known)}; there are {', '.join(known) or 'no tools'}"


class Mocks:
    """The part of an environment that declares mocks. They hold for sessions that begin afterwards."""

    name: str
    connections: dict[str, Connection]
    tool_functions: dict[str, ToolFunction]
    is_mock: bool
    """Whether tools give mocked results."""
    _mocks: dict[str, tuple[ToolResult, ...]]
    _is_total: bool
    _by_hand: MockRun | None
    _entered: list[LiveSession]

    def mock(self, enable: bool = True) -> Self:  # noqa: FBT001, FBT002  users write mock(enable=True)
        """Let every tool, local and connected, give a mocked result instead of running.

        A tool of which `mock_tool` said nothing gives a plain text that suits its name. Connections are opened all the
        same: they say which tools there are.

        Args:
            enable: False is `unmock`.
        """
        return self._mocked(self._mocks, is_total=True) if enable else self.unmock()

    def mock_tool(
        self,
        name: str,
        output: Any = NOTHING,  # noqa: ANN401  whatever a tool function may return
        *,
        error: str | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> Self:
        """Let one tool give a mocked result instead of running. Arguments of local tools are checked all the same.

        Args:
            name: The tool, as agents call it.
            output: What the tool returns, as a tool function would.
            error: The text of an error that it gives instead.
            sequence: What it gives in each session's first call, second call and so on; exceptions are errors. The last
                one is given from then on.

        Raises:
            DefinitionError: There is no such tool, or it is not one of `output`, `error` and `sequence`. Which tools
                connections have shows when they are opened: then an unknown name is a `ConfigError`.
        """
        given = [output is not NOTHING, error is not None, sequence is not None]
        values = list(sequence) if sequence is not None else [output]
        if sum(given) != 1 or not values:
            msg = f"mock_tool({name!r}) takes one of an output, error= and sequence= with something in it"
            raise DefinitionError(msg)
        if name not in self.tool_functions and not self.connections:
            raise DefinitionError(unknown_mock(name, self.tool_functions))
        results = (ToolResult.error(error),) if error is not None else tuple(map(_result, values))
        return self._mocked({**self._mocks, name: results}, is_total=self._is_total)

    def unmock(self) -> Self:
        """Let every tool run again, and forget what `mock_tool` was told."""
        self.is_mock = False
        self._mocks, self._is_total = {}, False
        return self._remock()

    def begin_mocks(self) -> MockRun | None:
        """Begin the mocks of a session; None when nothing is mocked."""
        return MockRun(self._mocks, is_total=self._is_total) if self.is_mock else None

    def _mocked(self, results: dict[str, tuple[ToolResult, ...]], *, is_total: bool) -> Self:
        self.is_mock = True
        self._mocks, self._is_total = results, is_total
        return self._remock()

    def _remock(self) -> Self:
        """Begin anew for calls by hand, outside any rollout."""
        self._by_hand = self.begin_mocks()
        for session in self._entered:
            session.tools.mocks = self._by_hand
        return self

    def _mock_text(self) -> str:
        """Give what the mocks say, for the environment's digest: what was measured with mocks holds for them only."""
        return repr((self._is_total, sorted(self._mocks.items()))) if self.is_mock else ""


def _result(value: object) -> ToolResult:
    return ToolResult.error(describe(value)) if isinstance(value, BaseException) else tool_result(value)
