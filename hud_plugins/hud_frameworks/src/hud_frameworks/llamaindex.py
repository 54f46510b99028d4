"""Tools for LlamaIndex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_frameworks.calling import OfferedTool, framework, offered_tools, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_core.environment.offers import OffersTools
    from hud_core.model.tools import ToolResult


def llamaindex_tools(source: OffersTools) -> list[Any]:
    """Give the tools as LlamaIndex's ``AsyncBaseTool`` objects. One that fails gives a ``ToolOutput`` with `is_error`.

    Args:
        source: A rollout, or an environment.

    Raises:
        ImportError: llama-index-core is not installed.
    """
    library = framework("llama_index.core.tools.types", "llama-index-core", "llamaindex")
    make = _tool_class(library)
    return [make(offered) for offered in offered_tools(source)]


def _tool_class(library: Any) -> Callable[[OfferedTool], Any]:  # noqa: ANN401  the framework
    class HudTool(library.AsyncBaseTool):  # type: ignore[misc]
        def __init__(self, offered: OfferedTool) -> None:
            self._offered = offered
            self._properties = list(offered.tool.input_schema.get("properties", {}))
            name, description = offered.tool.name, offered.tool.description or offered.tool.name
            schema = _schema_class(library, name, offered.tool.input_schema)
            self._metadata = library.ToolMetadata(name=name, description=description, fn_schema=schema)

        @property
        def metadata(self) -> Any:  # noqa: ANN401  the framework's
            return self._metadata

        def call(self, /, *values: Any, **arguments: Any) -> Any:  # noqa: ANN401  the framework's
            arguments |= self._named(values)
            return self._read(arguments, self._offered.call_and_wait(arguments, "await tool.acall(...)"))

        async def acall(self, /, *values: Any, **arguments: Any) -> Any:  # noqa: ANN401  the framework's
            arguments |= self._named(values)
            return self._read(arguments, await self._offered.call(arguments))

        def _named(self, values: tuple[Any, ...]) -> dict[str, Any]:
            """Name the arguments: LlamaIndex gives a single one without its name."""
            return dict(zip(self._properties, values, strict=False))

        def _read(self, arguments: dict[str, Any], result: ToolResult) -> Any:  # noqa: ANN401  the framework's
            return library.ToolOutput(
                tool_name=self._metadata.name,
                content=text_of(result),
                raw_input=arguments,
                raw_output=result,
                is_error=result.is_error,
            )

    return HudTool


def _schema_class(library: Any, name: str, schema: dict[str, Any]) -> type:  # noqa: ANN401  the framework
    """Make the model that LlamaIndex reads a tool's parameters from; it takes any, as the tool checks them itself."""
    return type(
        name,
        (library.BaseModel,),
        {
            "__module__": __name__,
            "model_config": {"extra": "allow"},
            "model_json_schema": classmethod(lambda _, *__, **___: schema),
        },
    )
