"""What prompts, answers and tool results are made of."""

from __future__ import annotations

from typing import Any, Literal

from attrs import evolve, field, frozen

Role = Literal["user", "assistant", "system"]


@frozen(kw_only=True)
class TextContent:
    """A piece of text."""

    text: str
    type: Literal["text"] = "text"


@frozen(kw_only=True)
class ImageContent:
    """An image."""

    data: str = field(repr=lambda data: f"<{len(data)} base64 characters>")
    """The bytes, in base64."""
    mime_type: str = field(alias="mimeType", default="image/png")
    type: Literal["image"] = "image"

    @property
    def mimeType(self) -> str:  # noqa: N802  the name that MCP code reads
        """The media type, under its MCP name."""
        return self.mime_type


@frozen(kw_only=True)
class AudioContent:
    """A sound."""

    data: str = field(repr=lambda data: f"<{len(data)} base64 characters>")
    """The bytes, in base64."""
    mime_type: str = field(alias="mimeType", default="audio/wav")
    type: Literal["audio"] = "audio"


@frozen(kw_only=True)
class ResourceContent:
    """A document: its text or its bytes, or only a link to it."""

    uri: str
    text: str | None = None
    data: str | None = field(default=None, repr=lambda data: f"<{len(data or '')} base64 characters>")
    """The bytes, in base64."""
    mime_type: str | None = field(alias="mimeType", default=None)
    type: Literal["resource"] = "resource"


Content = TextContent | ImageContent | AudioContent | ResourceContent


def text_of(content: tuple[Content, ...]) -> str:
    """Join the text of content blocks, one block a line; blocks without text are left out."""
    if len(content) == 1:  # nearly always
        return getattr(content[0], "text", None) or ""
    texts = (getattr(block, "text", None) for block in content)
    return "\n".join(text for text in texts if text)


@frozen(kw_only=True)
class Message:
    """One message of a prompt."""

    role: Role = "user"
    content: tuple[Content, ...]

    @property
    def text(self) -> str:
        """The text of the message."""
        return text_of(self.content)


@frozen(kw_only=True)
class Prompt:
    """What a scenario asks: messages with their roles, text and images, without loss."""

    messages: tuple[Message, ...]
    system: str | None = None
    """Added to the agent's own system prompt (a task's ``agent_config.system_prompt``)."""
    answer_schema: dict[str, Any] | None = None
    """The JSON Schema of the answer, when the scenario asks for a typed one."""
    enable_citations: bool = False
    """Whether the scenario wants the answer to name its sources (`Answer.citations`), where the model can."""
    setup_output: tuple[Content, ...] = ()
    """What the tools gave that the scenario called before its prompt; agents that do not ask for it do not get it."""
    initial_screenshot: bool = False
    """Whether the task wants the model to see the screen first (its ``agent_config.initial_screenshot``)."""

    @property
    def text(self) -> str:
        """The text of all messages, one a line."""
        if len(self.messages) == 1:
            return self.messages[0].text
        return "\n".join(message.text for message in self.messages)

    def showing(self, content: tuple[Content, ...]) -> Prompt:
        """Give the prompt with content added to its first message of the user."""
        if not content:
            return self
        messages = list(self.messages)
        first = next((i for i, message in enumerate(messages) if message.role == "user"), None)
        if first is None:
            messages.append(Message(content=content))
        else:
            messages[first] = evolve(messages[first], content=(*messages[first].content, *content))
        return evolve(self, messages=tuple(messages))


@frozen(kw_only=True)
class Citation:
    """A source that an answer names."""

    type: str = "citation"
    text: str = ""
    source: str = ""
    title: str = ""
    start_index: int | None = None
    end_index: int | None = None
    provider_data: dict[str, Any] = field(factory=dict)
