"""Tools for LangChain, and so for LangGraph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_frameworks.calling import OfferedTool, framework, offered_tools, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_core.environment.offers import OffersTools
    from hud_core.model.tools import ToolResult


def langchain_tools(source: OffersTools) -> list[Any]:
    """Give the tools as LangChain's ``BaseTool`` objects. One that fails gives a ``ToolMessage`` of status ``error``.

    Args:
        source: A rollout, or an environment.

    Raises:
        ImportError: langchain-core is not installed.
    """
    library = framework("langchain_core.tools", "langchain-core", "langchain")
    make = _tool_class(library)
    return [make(offered) for offered in offered_tools(source)]


def _tool_class(library: Any) -> Callable[[OfferedTool], Any]:  # noqa: ANN401  the framework
    def read(result: ToolResult) -> str:
        if result.is_error:
            raise library.ToolException(text_of(result))
        return text_of(result)

    class HudTool(library.BaseTool):  # type: ignore[misc]  # not StructuredTool: it takes arguments called `config` away
        _offered: Any = None  # private, and so in no dump of the framework's traces

        def __init__(self, offered: OfferedTool) -> None:
            super().__init__(
                name=offered.tool.name,
                description=offered.tool.description or offered.tool.name,
                args_schema=offered.tool.input_schema,
                handle_tool_error=True,
            )
            self._offered = offered

        def _run(self, /, **arguments: Any) -> str:
            return read(self._offered.call_and_wait(arguments, "await tool.ainvoke(...)"))

        async def _arun(self, /, **arguments: Any) -> str:
            return read(await self._offered.call(arguments))

    return HudTool
