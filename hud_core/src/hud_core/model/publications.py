"""Prompts and resources as they are listed: what an environment publishes beside its tools and scenarios."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen


@frozen(kw_only=True)
class PromptArgument:
    """An argument of a prompt; its value is text."""

    name: str
    description: str = ""
    required: bool = False


@frozen(kw_only=True)
class ListedPrompt:
    """A prompt that people choose; not a scenario's."""

    name: str
    title: str | None = None
    description: str = ""
    arguments: tuple[PromptArgument, ...] = ()
    meta: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class ListedResource:
    """A document that can be read, or a template of many."""

    uri: str
    """Its address; of a template with parameters, as ``notes://{name}``."""
    name: str
    title: str | None = None
    description: str = ""
    mime_type: str | None = field(alias="mimeType", default=None)
    is_template: bool = False
    meta: dict[str, Any] = field(factory=dict)

    @property
    def mimeType(self) -> str | None:  # noqa: N802  the name that MCP code reads
        """The type, under its MCP name."""
        return self.mime_type
