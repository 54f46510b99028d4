"""The OpenAPI document of a FastAPI app of this process, with or without the routes that it leaves out of its own."""

from __future__ import annotations

from copy import copy
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ABOUT = ("title", "version", "openapi_version", "summary", "description", "servers")


def document_of(app: Any, *, include_hidden: bool) -> Mapping[str, Any]:  # noqa: ANN401  FastAPI's, or one like it
    """Describe an app.

    Args:
        app: The app.
        include_hidden: Whether routes that are declared with ``include_in_schema=False`` are described too.
    """
    document: Mapping[str, Any] = app.openapi()
    if not include_hidden or not type(app).__module__.startswith("fastapi"):
        return document
    described: Mapping[str, Any] = import_module("fastapi.openapi.utils").get_openapi(
        **{name: getattr(app, name, None) for name in _ABOUT}, routes=_shown(app.routes)
    )
    return described


def _shown(routes: Sequence[Any]) -> list[Any]:
    """Give copies of an app's routes, as ones that are described; FastAPI passes over those that are no operations."""
    # Later versions keep an included router whole, and have a function that makes an object of each route in it.
    contexts = getattr(import_module("fastapi.routing"), "iter_route_contexts", None)
    own = [copy(route) for route in routes] if contexts is None else list(contexts(routes))
    for route in own:
        object.__setattr__(route, "include_in_schema", True)  # they are frozen, and ours
    return own
