"""What crosses between the job and its children arrives as it was sent."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.errors import (
    ArgumentError,
    BackendError,
    GraderError,
    HudError,
    ProviderError,
    SetupError,
    describe,
    verdict_for,
)
from hud_core.model.content import AudioContent, Citation, ImageContent, Message, Prompt, ResourceContent, TextContent
from hud_core.model.evaluation import Answer, Evaluation, StopReason, SubScore
from hud_core.model.tools import Tool, ToolCall, ToolResult
from hud_local.process import frames, messages
from hud_local.process.failures import capture, rebuild
from hud_local.process.frames import FrameError, FrameReader, pack_frame
from hud_local.process.messages import decode, encode

# --- frames -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300)), st.data())
def test_frames_are_found_again_in_any_chunks(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(pack_frame, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    reader = FrameReader()
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [payload for chunk in chunks for payload in reader.feed(chunk)] == payloads


def test_a_frame_that_is_too_large_is_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pack_frame(b"x" * 1001)
    monkeypatch.setattr(frames, "MAX_FRAME", 1000)
    with pytest.raises(FrameError, match=r"too large.*pass large data in a file"):
        pack_frame(b"x" * 1001)
    with pytest.raises(FrameError, match="too large"):
        list(FrameReader().feed(frame))


# --- records ----------------------------------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_keys = text
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(json_keys, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(json_keys, data, max_size=4)
mime_types = st.sampled_from(["image/png", "image/jpeg", "x/y"])
content = st.one_of(
    st.builds(TextContent, text=text),
    st.builds(ImageContent, data=text, mimeType=mime_types),
    st.builds(AudioContent, data=text, mimeType=mime_types),
    st.builds(ResourceContent, uri=text, text=st.none() | text, data=st.none() | text, mimeType=st.none() | mime_types),
)
blocks = st.lists(content, max_size=4).map(tuple)
prompts = st.builds(
    Prompt,
    messages=st.lists(
        st.builds(Message, role=st.sampled_from(["user", "assistant", "system"]), content=blocks), max_size=3
    ).map(tuple),
    system=st.none() | text,
    answer_schema=st.none() | objects,
    setup_output=blocks,
    initial_screenshot=st.booleans(),
    enable_citations=st.booleans(),
)
results = st.builds(ToolResult, content=blocks, structuredContent=data, isError=st.booleans(), call_id=text)
numbers = st.floats(allow_nan=False, allow_infinity=False)
subscores = st.builds(SubScore, name=text, value=st.floats(0, 1), weight=numbers, metadata=st.none() | objects)
evaluations = st.builds(
    Evaluation,
    reward=numbers,
    done=st.booleans(),
    content=st.none() | text,
    info=objects,
    isError=st.booleans(),
    subscores=st.none() | st.lists(subscores, max_size=3),
)
citations = st.builds(
    Citation, type=text, text=text, source=text, title=text, start_index=st.none() | st.integers(0, 9),
    end_index=st.none() | st.integers(0, 9), provider_data=objects,
)  # fmt: skip
answers = st.builds(
    Answer, text=text, structured=data, citations=st.lists(citations, max_size=2).map(tuple),
    stop_reason=st.sampled_from(StopReason),
)  # fmt: skip
tools = st.builds(Tool, name=text, description=text, input_schema=objects, meta=objects)
calls = st.builds(ToolCall, name=text, arguments=objects, id=text, annotation=st.none() | text)


@given(prompts)
def test_a_prompt_arrives_as_it_was(prompt: Prompt) -> None:
    assert messages.decode_prompt(encode(prompt)) == prompt


@given(results)
def test_a_tool_result_arrives_as_it_was(result: ToolResult) -> None:
    assert messages.decode_result(encode(result)) == result


@given(evaluations)
def test_an_evaluation_arrives_as_it_was(evaluation: Evaluation) -> None:
    assert messages.decode_evaluation(encode(evaluation)) == evaluation


@given(answers)
def test_an_answer_arrives_as_it_was(answer: Answer) -> None:
    assert messages.decode_answer(encode(answer)) == answer


@given(st.lists(tools, max_size=3), calls)
def test_tools_and_calls_arrive_as_they_were(tools: list[Tool], call: ToolCall) -> None:
    assert messages.decode_tools(encode(tools)) == tools
    assert messages.decode_call(encode(call, lenient=False)) == call


@pytest.mark.parametrize("kind", [Prompt, Message, ToolResult, Evaluation, SubScore, Answer, Citation, Tool, ToolCall])
def test_every_field_of_a_record_is_drawn_above(kind: type) -> None:
    drawn = {
        Prompt: {"messages", "system", "answer_schema", "setup_output", "initial_screenshot", "enable_citations"},
        Message: {"role", "content"},
        ToolResult: {"content", "structured_content", "is_error", "call_id"},
        Evaluation: {"reward", "done", "content", "info", "is_error", "subscores"},
        SubScore: {"name", "value", "weight", "metadata"},
        Answer: {"text", "structured", "citations", "stop_reason"},
        Citation: {"type", "text", "source", "title", "start_index", "end_index", "provider_data"},
        Tool: {"name", "description", "input_schema", "meta"},
        ToolCall: {"name", "arguments", "id", "annotation"},
    }
    assert {field.name for field in attrs.fields(kind)} == drawn[kind]


def test_what_is_no_data_is_sent_as_its_repr_or_refused() -> None:
    assert decode(encode({"info": object}))["info"] == "<class 'object'>"
    with pytest.raises(TypeError, match="no JSON form"):
        encode({"argument": object()}, lenient=False)


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        SetupError("no prompt"),
        GraderError("no score"),
        BackendError("lost"),
        ProviderError("429", retry_after=3.5),
        ProviderError("401", retry=False),
        ArgumentError("scenario 'x'", ["missing parameter 'a'", "unknown parameter 'b'"]),
        TimeoutError("too slow"),
        ConnectionResetError("reset"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("phase", ["setup", "grade"])
def test_an_exception_means_the_same_on_the_other_side(error: Exception, phase: str) -> None:
    sent = rebuild(messages._decoder(messages.Failure)(encode(capture(error, phase))))
    assert verdict_for(sent, phase) == verdict_for(error, phase)
    assert str(error) in describe(sent)
    if isinstance(error, HudError):
        assert type(sent) is type(error)
        assert str(sent) == str(error)


def test_a_bug_names_its_class_and_its_line() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        setup, grade = (rebuild(capture(error, method)) for method in ("setup", "grade"))
    assert type(setup) is SetupError
    assert type(grade) is GraderError
    assert f"KeyError: 'missing' ({__file__}:" in str(setup)
