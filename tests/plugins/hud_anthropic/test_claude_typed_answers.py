from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_anthropic import ClaudeAgent
from hud_anthropic.schemas import LOOSE, answer_form
from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import ProviderError
from hud_core.model.content import Message, Prompt, TextContent

Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0}, "y": {"type": "integer"}},
    "required": ["x"],
}
NUMBER = {"type": "integer"}


def ask(schema: dict[str, Any], **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text="where?"),)),), answer_schema=schema, **more)


def agent_of(endpoint: Any, **options: Any) -> ClaudeAgent:
    return ClaudeAgent.create(**{"base_url": endpoint.url, "api_key": "sk-1", "prompt_caching": False, **options})


async def test_the_schema_is_sent_and_the_answer_is_data(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say('{"x": 1}'))
    async with agent_of(server, effort="high") as agent:
        answer = await agent.run(ask(POINT), toolbox())
    assert (answer.text, answer.structured) == ('{"x": 1}', {"x": 1})
    sent = server.bodies[0]["output_config"]
    assert sent["effort"] == "high"
    assert sent["format"]["type"] == "json_schema"
    schema = sent["format"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["x"]
    assert "minimum" not in schema["properties"]["x"]  # the API has no such keyword
    assert "system" not in server.bodies[0]


@pytest.mark.parametrize("said", ['{"answer": 3}', "3"])
async def test_an_answer_that_is_no_object_travels_in_one(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, said: str
) -> None:
    server = endpoint(stub.say(said))
    async with agent_of(server) as agent:
        answer = await agent.run(ask(NUMBER), toolbox())
    assert (answer.text, answer.structured) == (said, 3)
    assert server.bodies[0]["output_config"]["format"]["schema"]["properties"] == {"answer": NUMBER}


async def test_a_model_without_schemas_is_told_in_words_from_then_on(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    refused = stub.fail(400, "this model does not support output_config.format", "invalid_request_error")
    server = endpoint(refused, stub.say("```json\n3\n```"))
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server, system_prompt="be brief") as agent:
        answers = [await agent.run(ask(NUMBER), toolbox()) for _ in range(2)]
    trace.current_recorder.reset(token)
    assert [answer.structured for answer in answers] == [3, 3]
    assert ["output_config" in body for body in server.bodies] == [True, False, False]
    for body in server.bodies[1:]:
        assert body["system"].startswith("be brief\n\n")
        assert '{"type": "integer"}' in body["system"]
    [line] = [event.text for event in recorder.pending if event.type == "log_line"]
    assert line.endswith("this model does not support output_config.format")


async def test_a_request_that_is_wrong_in_itself_is_not_blamed_on_the_schema(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    wrong = stub.fail(400, "max_tokens: 99999 > 64000", "invalid_request_error")
    server = endpoint(wrong, wrong, stub.say("3"))
    async with agent_of(server) as agent:
        with pytest.raises(ProviderError, match="99999"):
            await agent.run(ask(NUMBER), toolbox())
        await agent.run(ask(NUMBER), toolbox())
    assert ["output_config" in body for body in server.bodies] == [True, False, True]


@pytest.mark.parametrize(
    ("options", "schema", "citations"),
    [
        ({"structured_output": "prompt"}, NUMBER, False),
        ({}, {"type": "object", "additionalProperties": {"type": "string"}}, False),
        ({}, NUMBER, True),  # the API has either citations or JSON output
    ],
)
async def test_when_the_schema_is_told_in_words_at_once(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, options: Any, schema: Any, citations: bool
) -> None:
    server = endpoint(stub.say("3"))
    async with agent_of(server, **options) as agent:
        assert (await agent.run(ask(schema, enable_citations=citations), toolbox())).structured == 3
    assert "output_config" not in server.bodies[0]
    assert "JSON Schema" in server.bodies[0]["system"]


# --- schemas ----------------------------------------------------------------------------------------------------------

leaves = st.sampled_from(
    [{"type": "string"}, {"type": "integer", "default": 1}, {"enum": ["a", "b"]}, {"type": "null"}]
)
closed = st.recursive(
    leaves,
    lambda inner: (
        st.dictionaries(st.text(min_size=1, max_size=3), inner, min_size=1, max_size=3).map(
            lambda properties: {"type": "object", "properties": properties}
        )
        | inner.map(lambda item: {"type": "array", "items": item})
        | st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    ),
    max_leaves=8,
)


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for item in schema for found in objects(item)]
    if not isinstance(schema, dict):
        return []
    here = [schema] if schema.get("type") == "object" and isinstance(schema.get("properties"), dict) else []
    nested = [*schema.get("properties", {}).values()] if here else []
    return here + objects(nested) + objects([schema.get("items"), schema.get("anyOf")])


@given(closed)
def test_every_object_keeps_its_properties_and_is_closed(schema: dict[str, Any]) -> None:
    form = answer_form(schema)
    assert form is not None
    assert form.answer.is_wrapped == (schema.get("type") != "object")
    sent = form.output_format["schema"]
    assert sent["type"] == "object"
    after = objects(sent["properties"]["answer"] if form.answer.is_wrapped else sent)
    assert [set(node["properties"]) for node in objects(schema)] == [set(node["properties"]) for node in after]
    assert all(node["additionalProperties"] is False for node in objects(sent))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"description": "anything"}}},
        {"type": ["integer", "null"]},
        {"type": "array"},
        *({"type": "object", "properties": {"a": {"type": "string", keyword: []}}} for keyword in sorted(LOOSE)),
    ],
)
def test_what_the_api_cannot_say_has_no_form(schema: dict[str, Any]) -> None:
    assert answer_form(schema) is None


def test_what_the_sdk_cannot_say_has_no_form_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(schema: dict[str, Any]) -> None:
        raise ValueError(f"not a schema: {schema}")

    monkeypatch.setattr("anthropic.transform_schema", refuse)
    assert answer_form(POINT) is None


def test_a_root_that_is_a_reference_is_put_in_its_place() -> None:
    leaf = {"type": "object", "properties": {"n": NUMBER}}
    node = {"type": "object", "properties": {"leaf": {"$ref": "#/$defs/Leaf"}}}
    form = answer_form({"$ref": "#/$defs/Node", "$defs": {"Node": node, "Leaf": leaf}})
    assert form is not None
    assert not form.answer.is_wrapped
    assert form.output_format["schema"]["properties"] == node["properties"]
    assert form.output_format["schema"]["$defs"]["Leaf"]["additionalProperties"] is False
