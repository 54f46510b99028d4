"""What is read from the API and sent back to it, by properties."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hud_core.agents import Conversation, MalformedCall, ModelTurn, NativeTool, ToolTurn
from hud_core.errors import ProviderError
from hud_core.model.content import AudioContent, Content, ImageContent, ResourceContent, TextContent
from hud_core.model.tools import Tool, ToolCall, ToolResult
from hud_gemini import GeminiConfig
from hud_gemini.contents import Written
from hud_gemini.replies import NOT_CALLED, WITHHELD, read_reply

CONFIG = GeminiConfig.from_options({"api_key": "k"})
COMPUTER = NativeTool(api_type="computer_use", api_name="gemini_computer", role="computer")

texts = st.sampled_from(["", "a", "ä€😀", "b c"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.fixed_dictionaries(
    {"name": st.sampled_from(["f", "g", "click_at"])},
    optional={"args": st.dictionaries(texts, values, max_size=2) | values, "id": st.sampled_from(["", "1", "2"])},
)
parts = st.one_of(
    st.fixed_dictionaries({"text": texts}, optional={"thought": st.booleans(), "thoughtSignature": st.just("cw==")}),
    st.fixed_dictionaries({"functionCall": calls}, optional={"thoughtSignature": st.just("cw==")}),
    st.fixed_dictionaries({"executableCode": values}),
)
contents = st.tuples(
    *[
        st.just(block)
        for block in (
            TextContent(text="said"),
            TextContent(text="__URL__:http://x"),
            ImageContent(data="aaaa"),
            AudioContent(data="bbbb"),
            ResourceContent(uri="file:///a.pdf", data="cccc", mimeType="application/pdf"),
        )
    ]
).flatmap(lambda blocks: st.lists(st.sampled_from(blocks), max_size=4))
conversations = st.sampled_from([(), (COMPUTER,)]).map(
    lambda native: Conversation(tools=(Tool(name="f"), Tool(name="g")), native=native)
)


def body_of(said: list[Any], finish: str = "STOP") -> str:
    return json.dumps({"candidates": [{"content": {"role": "model", "parts": said}, "finishReason": finish}]})


def sendable(part: Any) -> Any:
    """Give a part, with an empty object for arguments that are none."""
    called = part.get("functionCall", {})
    if isinstance(called.get("args"), dict | None):
        return part
    return {**part, "functionCall": {**called, "args": {}}}


@given(st.lists(parts, max_size=5), conversations)
def test_a_turn_goes_back_as_it_came_and_is_read_whole(said: list[Any], conversation: Conversation) -> None:
    turn = read_reply(body_of(said), conversation)
    assert turn.raw == {"role": "model", "parts": [sendable(part) for part in said]}
    plain = [part["text"] for part in said if "text" in part]
    thought = [part["text"] for part in said if part.get("thought")]
    assert turn.reasoning == "".join(thought)
    assert len(turn.text) + len(turn.reasoning) == len("".join(plain))
    wire = [part["functionCall"] for part in said if "functionCall" in part]
    assert len(turn.calls) == len(wire)
    assert len({call.id for call in turn.calls}) == len(wire)
    for call, one in zip(turn.calls, wire, strict=True):
        is_action = conversation.native and one["name"] == "click_at" and isinstance(call, ToolCall)
        assert call.name == ("gemini_computer" if is_action else one["name"])


@given(st.lists(st.lists(parts, max_size=3), max_size=5), conversations, st.data())
def test_each_call_is_answered_under_its_own_name_and_id(
    said: list[list[Any]], conversation: Conversation, data: st.DataObject
) -> None:
    for one in said:
        turn = read_reply(body_of(one), conversation)
        conversation.turns.append(turn)
        if turn.calls:
            results = tuple((call, _result(call, data.draw(contents))) for call in turn.calls)
            conversation.turns.append(ToolTurn(results))
    wire = Written.of(conversation, CONFIG).contents
    for asked, told in itertools.pairwise(wire):
        if told["role"] == "user":
            called = [part["functionCall"] for part in asked["parts"] if "functionCall" in part]
            given = [part["functionResponse"] for part in told["parts"] if "functionResponse" in part]
            assert [(one["name"], one.get("id")) for one in given] == [(c["name"], c.get("id") or None) for c in called]
            assert told["parts"][: len(given)] == [{"functionResponse": one} for one in given]
            assert all(one["response"] for one in given)
    json.dumps(wire)


CHANGE = st.tuples(st.sampled_from(["add", "add", "add", "offer"]), st.lists(parts, max_size=3))


@given(st.lists(CHANGE, max_size=8), conversations, st.data())
def test_what_was_written_before_is_what_would_be_written_now(
    changes: list[Any], conversation: Conversation, data: st.DataObject
) -> None:
    for how, said in changes:
        if how == "add":
            turn = read_reply(body_of(said), conversation)
            results = tuple((call, _result(call, data.draw(contents))) for call in turn.calls)
            conversation.turns += [turn, ToolTurn(results)]
        else:
            conversation.tools += (Tool(name="h"),)
        offered = Conversation(tools=conversation.tools, native=conversation.native, turns=conversation.turns)
        written, anew = (Written.of(one, CONFIG) for one in (conversation, offered))
        assert (written.contents, written.functions) == (anew.contents, anew.functions)


def test_a_turn_is_written_once_but_for_screenshots() -> None:
    for native, is_kept in (((), True), ((COMPUTER,), False)):
        conversation = Conversation(native=native)
        assert (Written.of(conversation, CONFIG) is Written.of(conversation, CONFIG)) == is_kept


def _result(call: ToolCall | MalformedCall, blocks: list[Content]) -> ToolResult:
    return call.result if isinstance(call, MalformedCall) else ToolResult(content=blocks, call_id=call.id)


@given(
    st.recursive(
        values,
        lambda inner: st.dictionaries(
            st.sampled_from([
                "candidates", "content", "parts", "text", "functionCall", "name", "args", "finishReason",
                "promptFeedback", "blockReason", "safetyRatings", "usageMetadata", "promptTokenCount",
                "groundingMetadata", "groundingChunks", "groundingSupports", "segment", "startIndex", "web", "uri",
            ]),
            inner | st.lists(inner, max_size=2),
            max_size=4,
        ),
        max_leaves=12,
    ),
    conversations,
)  # fmt: skip
def test_whatever_comes_is_a_turn_or_a_failure_of_the_endpoint(body: Any, conversation: Conversation) -> None:
    with contextlib.suppress(ProviderError):
        assert isinstance(read_reply(json.dumps(body), conversation), ModelTurn)


@given(
    st.lists(parts, max_size=3),
    st.sampled_from([*WITHHELD, *NOT_CALLED, "STOP", "MAX_TOKENS", "SOMETHING_NEW"]),
    st.dictionaries(
        st.sampled_from(["finishMessage", "groundingMetadata", "citationMetadata", "safetyRatings"]), values, max_size=2
    ),
)
def test_a_call_that_the_endpoint_discards_is_never_made(said: list[Any], finish: str, more: dict[str, Any]) -> None:
    content = {"role": "model", "parts": said}
    body = json.dumps({"candidates": [{"content": content, "finishReason": finish, **more}]})
    with contextlib.suppress(ProviderError):
        turn = read_reply(body, Conversation())
        if finish in NOT_CALLED:
            assert [type(call) for call in turn.calls] == [MalformedCall]
            assert not any("functionCall" in part for part in turn.raw["parts"])
            assert turn.raw["parts"]


@given(st.lists(st.tuples(st.booleans(), st.text("aä€😀 ", min_size=1, max_size=6)), min_size=1, max_size=4), st.data())
def test_the_place_of_a_source_is_that_of_the_text_it_supports(
    said: list[tuple[bool, str]], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(said) - 1))
    is_thought, text = said[index]
    start, end = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(1, len(text)))))
    in_bytes = {"startIndex": len(text[:start].encode()), "endIndex": len(text[:end].encode())}
    support = {"segment": {"partIndex": index, **in_bytes}, "groundingChunkIndices": [0]}
    candidate = {
        "content": {"parts": [{"text": text, "thought": thought} for thought, text in said]},
        "groundingMetadata": {"groundingChunks": [{"web": {"uri": "http://a"}}], "groundingSupports": [support]},
    }
    turn = read_reply(json.dumps({"candidates": [candidate]}), Conversation())
    [citation] = turn.citations
    if is_thought:
        assert (citation.start_index, citation.end_index) == (None, None)
    else:
        assert turn.text[citation.start_index : citation.end_index] == text[start:end]
