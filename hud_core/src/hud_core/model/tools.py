"""Tools as agents see them: their description, a call, its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from hud_core.model.content import Content, TextContent, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen(kw_only=True)
class Tool:
    """A tool that an agent may call."""

    name: str
    description: str = ""
    input_schema: dict[str, Any] = field(factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of the arguments: always an object."""
    meta: dict[str, Any] = field(factory=dict)
    """Hints for agents, such as a provider's native form of the tool."""

    @property
    def inputSchema(self) -> dict[str, Any]:  # noqa: N802  the name that MCP code reads
        """The arguments' schema, under its MCP name."""
        return self.input_schema


def _arguments(value: dict[str, Any] | None) -> dict[str, Any]:
    return {} if value is None else value


@frozen
class ToolCall:
    """One call of a tool, as an agent makes it."""

    name: str
    arguments: dict[str, Any] = field(factory=dict, converter=_arguments)
    id: str = ""
    """The model's own id of the call, empty when there is none."""
    annotation: str | None = None


def _tuple(blocks: Iterable[Content]) -> tuple[Content, ...]:
    return tuple(blocks)


@frozen(kw_only=True)
class ToolResult:
    """What a tool call gave; an error is a result too."""

    content: tuple[Content, ...] = field(default=(), converter=_tuple)
    structured_content: Any = field(alias="structuredContent", default=None)
    """The result as data, when it is more than text."""
    is_error: bool = field(alias="isError", default=False)
    call_id: str = ""

    @classmethod
    def error(cls, text: str, call_id: str = "") -> ToolResult:
        """Make the result of a call that failed."""
        return cls(content=(TextContent(text=text),), isError=True, call_id=call_id)

    @property
    def text(self) -> str:
        """The text of the result."""
        return text_of(self.content)

    @property
    def isError(self) -> bool:  # noqa: N802  the name that MCP code reads
        """Whether the call failed, under its MCP name."""
        return self.is_error

    @property
    def structuredContent(self) -> Any:  # noqa: ANN401, N802  data of any type, and the name that MCP code reads
        """The structured content, under its MCP name."""
        return self.structured_content

    def __str__(self) -> str:
        """Say in one line whether the call worked and what it gave."""
        first, *_ = self.text.splitlines() or [""]
        return f"{'✗' if self.is_error else '✓'} {first}"
