from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.environment.strict import LOOSE, strict_schema
from hud_core.errors import ProviderError
from hud_core.model.content import Message, Prompt, TextContent
from hud_openai import OpenAIChatAgent
from hud_openai.schemas import answer_form

Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
    "required": ["x"],
}
NUMBER = {"type": "integer"}


def ask(schema: dict[str, Any]) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text="where?"),)),), answer_schema=schema)


async def test_the_schema_is_sent_and_the_answer_is_data(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say('{"x": 1, "y": 2}'))
    async with OpenAIChatAgent.create(base_url=server.url, model="m") as agent:
        answer = await agent.run(ask(POINT), toolbox())
    assert (answer.text, answer.structured) == ('{"x": 1, "y": 2}', {"x": 1, "y": 2})
    sent = server.bodies[0]["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True
    assert sent["json_schema"]["schema"] == {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
        "required": ["x", "y"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("said", ['{"answer": 3}', "3"])
async def test_an_answer_that_is_no_object_travels_in_one(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, said: str
) -> None:
    server = endpoint(stub.say(said))
    async with OpenAIChatAgent.create(base_url=server.url, model="m") as agent:
        answer = await agent.run(ask(NUMBER), toolbox())
    assert (answer.text, answer.structured) == (said, 3)
    assert server.bodies[0]["response_format"]["json_schema"]["schema"]["properties"] == {"answer": NUMBER}


async def test_an_endpoint_without_schemas_is_told_in_words_from_then_on(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    server = endpoint(stub.fail(400, "response_format is not supported"), stub.say("```json\n3\n```"))
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with OpenAIChatAgent.create(base_url=server.url, model="m", system_prompt="be brief") as agent:
        answers = [await agent.run(ask(NUMBER), toolbox()) for _ in range(2)]
    trace.current_recorder.reset(token)
    assert [answer.structured for answer in answers] == [3, 3]
    rejected, *told = server.bodies
    assert "response_format" in rejected
    assert len(told) == 2
    for body in told:
        assert "response_format" not in body
        system = body["messages"][0]["content"]
        assert system.startswith("be brief\n\n")
        assert '{"type": "integer"}' in system
    [line] = [event.text for event in recorder.pending if event.type == "log_line"]
    assert line.endswith("response_format is not supported")


async def test_a_request_that_is_wrong_in_itself_is_not_blamed_on_the_schema(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    server = endpoint(stub.fail(400, "too long"), stub.fail(400, "too long"), stub.say("3"))
    async with OpenAIChatAgent.create(base_url=server.url, model="m") as agent:
        with pytest.raises(ProviderError, match="too long"):
            await agent.run(ask(NUMBER), toolbox())
        await agent.run(ask(NUMBER), toolbox())
    assert ["response_format" in body for body in server.bodies] == [True, False, True]


async def test_the_schema_may_be_told_in_words_at_once(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("3"))
    async with OpenAIChatAgent.create(base_url=server.url, model="m", structured_output="prompt") as agent:
        assert (await agent.run(ask(NUMBER), toolbox())).structured == 3
    assert "response_format" not in server.bodies[0]


# --- schemas ----------------------------------------------------------------------------------------------------------

leaves = st.sampled_from(
    [{"type": "string"}, {"type": "integer", "default": 1}, {"enum": ["a", "b"]}, {"type": "null"}]
)
strictable = st.recursive(
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


@given(strictable)
def test_a_strict_schema_requires_every_property_and_closes_every_object(schema: dict[str, Any]) -> None:
    before, after = objects(schema), objects(strict_schema(schema))
    assert [set(node["properties"]) for node in before] == [set(node["properties"]) for node in after]
    for node in after:
        assert node["required"] == list(node["properties"])
        assert node["additionalProperties"] is False


@given(strictable)
def test_the_root_is_always_an_object(schema: dict[str, Any]) -> None:
    form = answer_form(schema)
    sent = form.response_format["json_schema"]
    assert sent["schema"]["type"] == "object"
    assert sent["strict"] is True
    assert form.answer.is_wrapped == (schema.get("type") != "object")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {}}},
        {"type": "array"},
        *({"type": "object", "properties": {"a": {keyword: []}}} for keyword in sorted(LOOSE)),
    ],
)
def test_what_strict_mode_cannot_say_is_sent_as_it_is(schema: dict[str, Any]) -> None:
    assert strict_schema(schema) is None
    form = answer_form(schema)
    sent = form.response_format["json_schema"]
    assert sent["strict"] is False
    assert (sent["schema"]["properties"]["answer"] if form.answer.is_wrapped else sent["schema"]) == schema


def test_a_root_that_is_a_reference_is_put_in_its_place() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}
    form = answer_form({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    sent = form.response_format["json_schema"]["schema"]
    assert not form.answer.is_wrapped
    assert sent["properties"] == sent["$defs"]["Node"]["properties"] == node["properties"]
