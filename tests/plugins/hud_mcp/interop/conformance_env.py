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
from hud.server import elicit, list_roots, log, progress, sample
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


@env.tool
async def test_tool_with_progress() -> str:
    """Report progress."""
    for done in (0, 50, 100):
        await progress(done, 100)
        await anyio.sleep(0.05)
    return "done"


@env.tool
async def test_tool_with_logging() -> str:
    """Write log lines."""
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await log(line)
        await anyio.sleep(0.05)
    return "done"


def form(*required: str, **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": [*required]}


TEXT = {"type": "string"}
NAME = form("name", name=TEXT)


@env.tool
async def test_sampling(prompt: str) -> str:
    """Ask the client's model."""
    return f"LLM response: {(await sample(prompt, max_tokens=100)).text}"


@env.tool
async def test_elicitation(message: str) -> str:
    """Ask the client's user."""
    answer = await elicit(message, form("username", "email", username=TEXT, email=TEXT))
    return f"User response: action={answer.action}, content={answer.content}"


async def completed(fields: dict[str, Any]) -> str:
    answer = await elicit("Please fill this in", form(**fields))
    return f"Elicitation completed: action={answer.action}, content={answer.content}"


@env.tool
async def test_elicitation_sep1034_defaults() -> str:
    """Ask with defaults."""
    return await completed(
        {
            "name": {**TEXT, "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {**TEXT, "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
    )


@env.tool
async def test_elicitation_sep1330_enums() -> str:
    """Ask with choices."""
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
    return await completed(
        {
            "untitledSingle": {**TEXT, "enum": options},
            "titledSingle": {**TEXT, "oneOf": titled},
            "legacyEnum": {**TEXT, "enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]},
            "untitledMulti": {"type": "array", "items": {**TEXT, "enum": options}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled}},
        }
    )


@env.tool
async def test_missing_capability() -> str:
    """Need the client's model."""
    return (await sample("Hello")).text


async def greet() -> str:
    """Ask for a name."""
    answer = await elicit("What is your name?", NAME, key="user_name")
    return f"Hello, {(answer.content or {}).get('name')}!"


env.add_tool(greet, name="test_input_required_result_elicitation")
env.add_tool(greet, name="test_input_required_result_tampered_state")


@env.tool
async def test_input_required_result_sampling() -> str:
    """Ask the client's model."""
    return (await sample("What is the capital of France?", max_tokens=100)).text


@env.tool
async def test_input_required_result_request_state() -> str:
    """Ask, and go on."""
    await elicit("Please confirm", form("ok", ok={"type": "boolean"}))
    return "state-ok"


@env.tool
async def test_input_required_result_multi_round() -> str:
    """Ask twice."""
    await elicit("Step 1: What is your name?", NAME)
    await elicit("Step 2: What is your favorite color?", form("color", color=TEXT))
    return "done"


@env.tool
async def test_input_required_result_capabilities() -> str:
    """Ask whoever can be asked."""
    try:
        await elicit("What is your name?", NAME)
    except ToolError:
        await sample("Hello")
    return "done"


@env.tool
async def test_input_required_result_list_roots() -> str:
    """Ask for roots."""
    return ", ".join(await list_roots(key="client_roots"))


@env.tool
async def test_input_required_result_multiple_inputs() -> str:
    """Ask three things at once."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(elicit, "What is your name?", NAME)
        tasks.start_soon(sample, "Generate a greeting")
        tasks.start_soon(list_roots)
    return "done"


@prompt(env)
async def test_input_required_result_prompt() -> str:
    """Ask with a context."""
    answer = await elicit("What context should the prompt use?", form("context", context=TEXT))
    return f"In the context of {answer.content}"


@resource(env, "test://watched-resource")
def watched() -> str:
    """Give what may change."""
    return "watched"


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
