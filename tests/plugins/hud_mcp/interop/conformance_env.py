"""Serve what the official conformance suite asks for, as far as an environment offers such things.

Run it as ``conformance_env.py PORT``.
"""

from __future__ import annotations

import base64
import sys
from functools import partial
from typing import Any

import anyio

from hud import Environment
from hud_core.errors import ToolError
from hud_core.model.content import AudioContent, Content, ImageContent, Message, ResourceContent, TextContent
from hud_mcp.server import EnvironmentServer
from hud_mcp.server.published import prompt, resource

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

env = Environment("conformance")


@env.tool
def test_simple_text() -> str:
    """Return text."""
    return "This is a simple text response for testing."


@env.tool
def test_image_content() -> ImageContent:
    """Return an image."""
    return ImageContent(data=PNG, mimeType="image/png")


@env.tool
def test_audio_content() -> AudioContent:
    """Return a sound."""
    return AudioContent(data=WAV, mimeType="audio/wav")


@env.tool
def test_embedded_resource() -> ResourceContent:
    """Return a document."""
    text = "This is an embedded resource content."
    return ResourceContent(uri="test://embedded-resource", mimeType="text/plain", text=text)


@env.tool
def test_multiple_content_types() -> list[Any]:
    """Return text, an image and a document."""
    document = ResourceContent(
        uri="test://mixed-content-resource", mimeType="application/json", text='{"test":"data","value":123}'
    )
    return [TextContent(text="Multiple content types test:"), ImageContent(data=PNG), document]


@env.tool
def test_error_handling() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@resource(env, "test://static-text", mime_type="text/plain")
def static_text() -> str:
    """Give text."""
    return "This is the content of the static text resource."


@resource(env, "test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """Give bytes."""
    return base64.b64decode(PNG)


@resource(env, "test://template/{id}/data", mime_type="application/json")
def from_template(id: str) -> dict[str, Any]:  # noqa: A002  the name that the suite's template has
    """Give data about what the address names."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


def ask(*blocks: Content) -> list[Message]:
    return [Message(content=(block,)) for block in blocks]


@prompt(env)
def test_simple_prompt() -> str:
    """Ask plainly."""
    return "This is a simple prompt for testing."


@prompt(env)
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Ask with arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@prompt(env)
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803  as the suite names it
    """Ask about a document."""
    document = ResourceContent(uri=resourceUri, mimeType="text/plain", text="Embedded resource content for testing.")
    return ask(document, TextContent(text="Please process the embedded resource above."))


@prompt(env)
def test_prompt_with_image() -> list[Message]:
    """Ask about an image."""
    return ask(ImageContent(data=PNG), TextContent(text="Please analyze the image above."))


@env.scenario()
async def count(word: str) -> Any:
    """Count a letter."""
    answer = yield f"How many letters has {word}?"
    yield 1.0 if answer == str(len(word)) else 0.0


server = EnvironmentServer(env)


async def replace() -> str:
    """Serve the environment anew, as a reload does; clients are told."""
    await server.replace(env)
    return "replaced"


env.add_tool(replace, name="test_trigger_tool_change")
env.add_tool(replace, name="test_trigger_prompt_change")
anyio.run(partial(server.serve_http, port=int(sys.argv[1])))
