"""What the model sees of prompts and tool results, what of it the endpoint is to remember, and what the model cites."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hud_anthropic import ClaudeAgent
from hud_anthropic.client import Reply
from hud_anthropic.messages import Written, mark_for_cache
from hud_anthropic.replies import read_reply
from hud_anthropic.stream import Reader, read_events
from hud_core.agents import Conversation
from hud_core.environment.session import Toolbox
from hud_core.errors import ProviderError
from hud_core.model.content import AudioContent, ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.tools import ToolResult

Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]
PNG = base64.b64encode(b"a picture").decode()
PDF = ResourceContent(uri="file:///a/report.pdf", data=PNG, mimeType="application/pdf")
NOTES = ResourceContent(uri="file:///notes.txt", text="the cat sat", mimeType="text/plain")


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def document(title: str, kind: str, data: str, form: str = "text", **more: Any) -> dict[str, Any]:
    return {
        "type": "document",
        "source": {"type": form, "media_type": kind, "data": data},
        **({"title": title} if title else {}),
        **more,
    }


WRITTEN = [
    (TextContent(text="hi"), text("hi")),
    (
        ImageContent(data=PNG, mimeType="image/jpeg"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}},
    ),
    (ImageContent(data=PNG, mimeType="image/bmp"), text("(an image of type image/bmp, which you cannot see)")),
    (AudioContent(data=PNG, mimeType="audio/mpeg"), text("(a sound of type audio/mpeg, which you cannot hear)")),
    (PDF, document("report.pdf", "application/pdf", PNG, "base64")),
    (NOTES, document("notes.txt", "text/plain", "the cat sat")),
    (
        ResourceContent(uri="x://a.json", data=base64.b64encode(b"{}").decode(), mimeType="application/json"),
        document("a.json", "text/plain", "{}"),
    ),
    (
        ResourceContent(uri="x://shot", data=PNG, mimeType="image/png"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ),
    (
        ResourceContent(uri="x://a.zip", data=PNG, mimeType="application/zip"),
        text("(a file of type application/zip, which you cannot read: x://a.zip)"),
    ),
    (ResourceContent(uri="https://example.test/page"), text("https://example.test/page")),
    (ResourceContent(uri="x://empty", text=" "), text("x://empty")),
]


def agent_of(endpoint: Any, **options: Any) -> ClaudeAgent:
    return ClaudeAgent.create(**{"base_url": endpoint.url, "api_key": "sk-1", "prompt_caching": False, **options})


def ask(*content: Any, **more: Any) -> Prompt:
    return Prompt(messages=(Message(content=content),), **more)


async def test_the_content_of_a_prompt_arrives(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask(*(block for block, _ in WRITTEN), TextContent(text=" \n")), toolbox())
    assert server.bodies[0]["messages"][0]["content"] == [wire for _, wire in WRITTEN]


async def test_the_content_of_tool_results_arrives(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    def look() -> list[Any]:
        return [block for block, _ in WRITTEN]

    server = endpoint(stub.call(("look", {})), stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask(TextContent(text="x")), toolbox(look))
    [result] = server.bodies[1]["messages"][-1]["content"]
    assert result["content"] == [wire for _, wire in WRITTEN]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (ToolResult(), [{"content": [text("(no output)")]}]),
        (ToolResult.error("no such file"), [{"content": [text("no such file")], "is_error": True}]),
        (ToolResult(isError=True), [{"content": [text("(no output)")], "is_error": True}]),
        (ToolResult(structuredContent={"n": 1}), [{"content": [text('{"n": 1}')]}]),
        (ToolResult(content=(TextContent(text="1"),), structuredContent={"n": 1}), [{"content": [text("1")]}]),
        (  # results of failed calls may hold text alone
            ToolResult(content=(ImageContent(data=PNG, mimeType="image/jpeg"),), isError=True),
            [{"content": [text("(see below)")], "is_error": True}, WRITTEN[1][1]],
        ),
    ],
)
async def test_what_the_model_reads_of_a_result(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, result: ToolResult, told: list[dict[str, Any]]
) -> None:
    def look() -> ToolResult:
        return result

    server = endpoint(stub.call(("look", {})), stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask(TextContent(text="x")), toolbox(look))
    first, *beside = told
    expected = [{"type": "tool_result", "tool_use_id": "toolu_0", **first}, *beside]
    assert server.bodies[1]["messages"][-1]["content"] == expected


async def test_roles_are_kept_and_systems_go_where_the_api_has_them(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    said = [("system", "rules"), ("user", "hi"), ("assistant", "hello"), ("user", "")]
    messages = tuple(Message(role=role, content=(TextContent(text=words),)) for role, words in said)  # type: ignore[arg-type]
    server = endpoint(stub.say("ok"))
    async with agent_of(server, system_prompt="be brief") as agent:
        await agent.run(Prompt(messages=messages), toolbox())
    [body] = server.bodies
    assert body["system"] == "be brief\n\nrules"
    assert [(m["role"], m["content"][0]["text"]) for m in body["messages"]] == [
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "(empty)"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [text("no id")]}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": PNG}}]}]},
        {"tools": [{"type": "computer_20250124", "name": "computer"}]},
        {"thinking": {"type": "enabled"}},
    ],
)
def test_a_request_that_the_api_would_refuse_is_found(stub: ModuleType, wrong: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):  # every endpoint of these tests checks what it was sent
        stub.check_form(wrong)


# --- prompt caching ---------------------------------------------------------------------------------------------------


def marked(body: Any) -> list[str]:
    """Name the places of a request that are to be remembered."""
    system = body.get("system", [])
    blocks = [(f"tool {tool['name']}", tool) for tool in body.get("tools", [])]
    blocks += [("system", block) for block in system if isinstance(block, dict)]
    for place, message in enumerate(body["messages"]):
        blocks += [(f"message {place} block {i}", block) for i, block in enumerate(message["content"])]
    return [name for name, block in blocks if "cache_control" in block]


async def test_tools_system_and_the_last_two_user_messages_are_remembered(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    def first() -> str:
        return "1"

    def last() -> str:
        return "2"

    both = stub.call(("first", {}), ("last", {}))
    server = endpoint(both, both, stub.say("ok"))
    async with agent_of(server, system_prompt="be brief", prompt_caching=True) as agent:
        await agent.run(ask(TextContent(text="x"), TextContent(text="y")), toolbox(first, last))
    begun, grown, ended = server.bodies
    assert marked(begun) == ["tool last", "system", "message 0 block 1"]
    assert marked(grown) == ["tool last", "system", "message 0 block 1", "message 2 block 1"]
    assert marked(ended) == ["tool last", "system", "message 2 block 1", "message 4 block 1"]
    assert begun["tools"][-1]["cache_control"] == {"type": "ephemeral"}
    assert unmarked(ended)[:3] == unmarked(grown)  # the marks apart, what was said stays as it was
    assert unmarked(grown)[:1] == unmarked(begun)


def unmarked(body: Any) -> list[Any]:
    bare = json.dumps(body["messages"]).replace(', "cache_control": {"type": "ephemeral"}', "")
    return list(json.loads(bare))


async def test_for_how_long_and_whether_at_all(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    for options in ({"prompt_caching": True, "cache_ttl": "1h"}, {"prompt_caching": False}):
        async with agent_of(server, **options) as agent:
            await agent.run(ask(TextContent(text="x")), toolbox())
    hour, never = server.bodies
    assert hour["messages"][0]["content"][-1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert "cache_control" not in json.dumps(never)


messages = st.lists(
    st.builds(
        lambda role, count: {"role": role, "content": [text(str(n)) for n in range(count)]},
        st.sampled_from(["user", "assistant"]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=8,
)
tools = st.lists(st.booleans(), max_size=4).map(
    lambda deferred: [{"name": "search"}, *({"name": "t", "defer_loading": True} for later in deferred if later)]
)


@given(messages, st.none() | tools, st.sampled_from(["", "rules"]))
def test_no_request_has_more_than_four_marks_nor_one_where_none_may_be(
    said: list[Any], offered: list[Any] | None, system: str
) -> None:
    body: dict[str, Any] = {"messages": said}
    body |= {"tools": offered} if offered else {}
    body |= {"system": system} if system else {}
    mark_for_cache(body, {"type": "ephemeral"})
    places = marked(body)
    assert len(places) <= 4
    assert not [tool for tool in body.get("tools", []) if tool.get("defer_loading") and "cache_control" in tool]
    assert not [m for m in body["messages"] if m["role"] == "assistant" and "cache_control" in json.dumps(m)]


# --- citations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "wanted", "cites"), [({}, False, False), ({}, True, True), ({"citations": True}, False, True)]
)
async def test_documents_may_be_cited_where_the_scenario_or_the_setting_asks(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, options: dict[str, Any], wanted: bool, cites: bool
) -> None:
    def look() -> list[Any]:
        return [PDF]

    server = endpoint(stub.call(("look", {})), stub.say("ok"))
    async with agent_of(server, **options) as agent:
        await agent.run(ask(NOTES, enable_citations=wanted), toolbox(look))
    first, _, result = server.bodies[1]["messages"]
    for block in (first["content"][0], result["content"][0]["content"][0]):
        assert block.get("citations") == ({"enabled": True} if cites else None)


async def test_citations_come_with_the_answer(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    place = {
        "type": "char_location",
        "cited_text": "the cat sat",
        "document_index": 0,
        "document_title": "notes.txt",
        "start_char_index": 0,
        "end_char_index": 11,
    }
    page = {"type": "page_location", "cited_text": "p", "document_index": 1, "document_title": None}
    web = {"type": "web_search_result_location", "cited_text": "w", "url": "https://x.test", "title": "X"}
    blocks = [stub.text("It says "), stub.text("a cat sat", place), stub.text(", twice.", page, web)]
    async with agent_of(endpoint(stub.message(*blocks)), citations=True) as agent:
        answer = await agent.run(ask(NOTES), toolbox())
    assert answer.text == "It says a cat sat, twice."
    first, second, third = answer.citations
    assert (first.type, first.text, first.source, first.title) == (
        "char_location",
        "the cat sat",
        "notes.txt",
        "notes.txt",
    )
    assert answer.text[first.start_index : first.end_index] == "a cat sat"
    assert first.provider_data == place
    assert (second.source, second.title) == ("document 1", "")
    assert (third.source, third.title) == ("https://x.test", "X")
    assert answer.text[third.start_index : third.end_index] == ", twice."


# --- streams ----------------------------------------------------------------------------------------------------------

words = st.text(max_size=30)
blocks = st.lists(
    st.one_of(
        words.map(lambda said: {"type": "text", "text": said}),
        words.map(lambda said: {"type": "thinking", "thinking": said, "signature": "s"}),
        st.dictionaries(words, words | st.integers(), max_size=3).map(
            lambda arguments: {"type": "tool_use", "id": "t", "name": "n", "input": arguments}
        ),
        words.map(lambda said: {"type": "redacted_thinking", "data": said}),
    ),
    max_size=5,
)


@given(blocks, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["data: ", "data:"]))
def test_a_message_is_put_together_whatever_ends_the_lines(
    stub: ModuleType, said: list[Any], newline: str, field: str
) -> None:
    stream = "".join(
        f"event: {event['type']}{newline}{field}{json.dumps(event)}{newline}{newline}"
        for event in stub.message(*said).events
    )
    reader = Reader()
    for event in read_events(stream.encode()):
        reader.feed(event)
    assert reader.error is None
    got = [
        {**block, "input": json.loads(block["input"]) if block["input"] else {}} if "input" in block else block
        for block in reader.message["content"]
    ]
    assert got == said
    assert reader.message["usage"] == {"input_tokens": 10, "output_tokens": 2}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
keys = ("text", "thinking", "id", "name", "input", "citations", "toolset_name")
kinds = st.sampled_from(["text", "thinking", "tool_use", "server_tool_use", "else"])
odd_blocks = st.fixed_dictionaries({"type": kinds}, optional=dict.fromkeys(keys, anything))
odd_messages = st.fixed_dictionaries(
    {"content": st.lists(odd_blocks | anything, max_size=3)},
    optional=dict.fromkeys(("usage", "stop_reason", "stop_details", "model", "container"), anything),
)


@given(odd_messages)
@example({"content": [{"type": "tool_use", "id": 5, "name": 7}], "model": 1})
@example({"content": [{"type": "text", "text": "ok", "toolset_name": "computer"}]})
@example({"content": [], "container": "box_1"})
@example({"content": [], "container": {"expires_at": "later"}})
def test_whatever_a_gateway_writes_is_a_turn_or_an_error_of_its_own(message: Any) -> None:
    reader = Reader()
    reader.feed_whole(json.dumps(message).encode())
    if reader.error is None:
        try:
            turn = read_reply(Reply(reader.message, None), {})
        except ProviderError:
            return
        assert isinstance(turn.text, str)
        assert isinstance(turn.model, str)
        assert all(isinstance(call.name, str) and isinstance(call.id, str) for call in turn.calls)
        written = Written.of(Conversation(turns=[turn]), False)
        assert [said["content"] for said in written.messages] == ([turn.raw["content"]] if turn.raw["content"] else [])
