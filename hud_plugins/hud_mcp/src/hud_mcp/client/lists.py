"""The lists of a server, all pages of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp import Client

MAX_PAGES = 1000
"""Pages of a list; a server that has more never ends."""
_CAPABILITIES = {"resource_templates": "resources"}
"""Which capability a list belongs to, where it has another name."""


async def everything(client: Client, kind: str, **meta: Any) -> list[Any]:
    """List all of a server's ``tools``, ``prompts``, ``resources`` or ``resource_templates``, page by page."""
    if getattr(client.server_capabilities, _CAPABILITIES.get(kind, kind)) is None:
        return []  # it has no such
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await getattr(client, f"list_{kind}")(cursor=cursor, **meta)
        found += getattr(page, kind)
        cursor = page.next_cursor
        if not cursor:
            break
    return found
