"""Tools for Google's Agent Development Kit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_frameworks.calling import OfferedTool, framework, offered_tools, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_core.environment.offers import OffersTools


def adk_tools(source: OffersTools) -> list[Any]:
    """Give the tools as the ADK's ``BaseTool`` objects. Their results are ``{"result": ...}`` or ``{"error": ...}``.

    Args:
        source: A rollout, or an environment.

    Raises:
        ImportError: google-adk is not installed.
    """
    library = framework("google.adk.tools.base_tool", "google-adk", "adk")
    types = framework("google.genai.types", "google-genai", "adk")
    make = _tool_class(library, types)
    return [make(offered) for offered in offered_tools(source)]


def _tool_class(library: Any, types: Any) -> Callable[[OfferedTool], Any]:  # noqa: ANN401  the framework
    class HudTool(library.BaseTool):  # type: ignore[misc]
        def __init__(self, offered: OfferedTool) -> None:
            super().__init__(name=offered.tool.name, description=offered.tool.description or offered.tool.name)
            self._offered = offered

        def _get_declaration(self) -> Any:  # noqa: ANN401  the framework's
            schema = self._offered.tool.input_schema
            return types.FunctionDeclaration(
                name=self.name, description=self.description, parameters_json_schema=schema
            )

        async def run_async(self, *, args: dict[str, Any], tool_context: object) -> dict[str, str]:
            del tool_context  # the tools of an environment know nothing of the framework
            result = await self._offered.call(args)
            return {"error" if result.is_error else "result": text_of(result)}

    return HudTool
