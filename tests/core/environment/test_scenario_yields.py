"""What a scenario's two yields may be, and what is said of those that may not."""

from __future__ import annotations

import base64
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.environment.values import evaluation_from, prompt_from
from hud_core.errors import GraderError, SetupError
from hud_core.model.content import (
    AudioContent,
    Content,
    ImageContent,
    Message,
    Prompt,
    ResourceContent,
    TextContent,
)
from hud_core.model.evaluation import Evaluation, SubScore

TEXT = TextContent(text="hello")
IMAGE = ImageContent(data="aGk=", mimeType="image/jpeg")


def message(*content: Content, role: Any = "user") -> Message:
    return Message(role=role, content=content)


def mcp_text(text: str) -> Any:
    return SimpleNamespace(type="text", text=text, annotations=None)


def mcp_image() -> Any:
    return SimpleNamespace(type="image", data="aGk=", mimeType="image/jpeg")


def mcp_resource() -> Any:
    inner = SimpleNamespace(uri="file:///a", text="inside", mimeType="text/plain")
    return SimpleNamespace(type="resource", resource=inner)


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("hello", [message(TEXT)]),
        (TEXT, [message(TEXT)]),
        (IMAGE, [message(IMAGE)]),
        (mcp_text("hello"), [message(TEXT)]),
        (mcp_image(), [message(IMAGE)]),
        (mcp_resource(), [message(ResourceContent(uri="file:///a", text="inside", mimeType="text/plain"))]),
        (message(TEXT, role="assistant"), [message(TEXT, role="assistant")]),
        (SimpleNamespace(role="assistant", content=mcp_text("hello")), [message(TEXT, role="assistant")]),
        (SimpleNamespace(role="user", content=[mcp_text("hello"), mcp_image()]), [message(TEXT, IMAGE)]),
        (Prompt(messages=(message(TEXT),), system="be brief"), [message(TEXT)]),
        (["hello", IMAGE], [message(TEXT, IMAGE)]),
        ([IMAGE, "hello", AudioContent(data="aGk=")], [message(IMAGE, TEXT, AudioContent(data="aGk="))]),
        (
            [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
            ],
            [message(TEXT), message(TEXT, role="assistant")],
        ),
        (
            [message(TEXT, role="system"), "hello", IMAGE, message(TEXT, role="assistant"), "hello"],
            [message(TEXT, role="system"), message(TEXT, IMAGE), message(TEXT, role="assistant"), message(TEXT)],
        ),
        ({"role": "user", "content": {"type": "image", "data": "aGk=", "mimeType": "image/jpeg"}}, [message(IMAGE)]),
        (SimpleNamespace(type="image", data=b"hi", mimeType="image/jpeg"), [message(IMAGE)]),
        (("hello", IMAGE), [message(TEXT, IMAGE)]),
    ],
)
def test_first_yield(value: Any, messages: list[Message]) -> None:
    assert list(prompt_from(value).messages) == messages


def test_image_bytes_are_kept_exactly() -> None:
    data = bytes(range(256))
    (kept,) = prompt_from(SimpleNamespace(type="image", data=data, mimeType="image/png")).messages[0].content
    assert isinstance(kept, ImageContent)
    assert base64.b64decode(kept.data) == data


def test_a_prompt_keeps_its_system_text() -> None:
    assert prompt_from(Prompt(messages=(message(TEXT),), system="be brief")).system == "be brief"


@pytest.mark.parametrize(
    "value",
    ["", "  \n", [], [""], TextContent(text=""), Prompt(messages=()), {"role": "user", "content": []}],
)
def test_an_empty_first_yield(value: Any) -> None:
    with pytest.raises(SetupError, match="the scenario's first yield is an empty prompt"):
        prompt_from(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "got int 5"),
        (None, "got NoneType None"),
        (1.0, "got float 1.0"),
        ({"task": "x"}, "got dict {'task': 'x'}"),
        ({"role": "robot", "content": "x"}, "got dict"),
        ({"role": "user"}, "got dict"),
        (b"bytes", "got bytes"),
        (["a", 5], "got int 5 inside a list"),
        ([{"role": "user", "content": [3]}], "got int 3 inside a list"),
        (object(), "got object"),
    ],
)
def test_a_first_yield_that_is_no_prompt(value: Any, said: str) -> None:
    with pytest.raises(SetupError) as caught:
        prompt_from(value)
    assert said in str(caught.value)
    assert "must be a str, a content block, a message or a list of them" in str(caught.value)


# --- the second yield -------------------------------------------------------------------------------------------------


class Scalar:
    """What numpy's and torch's scalars look like."""

    shape = ()

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        return self.value


HALF = SubScore(name="half", value=0.5, weight=1)
WHOLE = SubScore(name="whole", value=1, weight=3)


@pytest.mark.parametrize(
    ("value", "reward"),
    [
        (True, 1.0),
        (False, 0.0),
        (3, 3.0),
        (-0.5, -0.5),
        (Scalar(0.25), 0.25),
        (Scalar(True), 1.0),
        (Evaluation(reward=0.5, content="so so"), 0.5),
        ({"reward": 1}, 1.0),
        ({"reward": True, "done": False, "content": "x", "info": {}}, 1.0),
        (HALF, 0.5),
        ([HALF, WHOLE], 0.875),
        ((HALF,), 0.5),
        ([WHOLE, SubScore(name="late", value=1, weight=-0.25)], 0.75),
    ],
)
def test_second_yield(value: Any, reward: float) -> None:
    evaluation = evaluation_from(value)
    assert evaluation.reward == reward
    assert type(evaluation.reward) is float


def test_everything_of_a_dict_is_kept() -> None:
    evaluation = evaluation_from(
        {
            "reward": 0.5,
            "content": "why",
            "info": {"a": 1},
            "extra": 2,
            "subscores": [{"name": "half", "value": 0.5}],
        }
    )
    assert evaluation.content == "why"
    assert evaluation.info == {"a": 1, "extra": 2}
    assert evaluation.subscores == (SubScore(name="half", value=0.5),)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "got NoneType None"),
        ("1.0", "got str '1.0'"),
        (math.nan, "reward must be finite, got nan"),
        (math.inf, "reward must be finite, got inf"),
        (-math.inf, "reward must be finite, got -inf"),
        (Scalar(math.nan), "reward must be finite, got nan"),
        (Scalar("x"), "got str 'x'"),
        ({"reward": math.nan}, "reward must be finite, got nan"),
        ({"reward": "1"}, "reward must be a number, got str '1'"),
        ({"reward": None}, "reward must be a number, got NoneType None"),
        ({"score": 1}, "the dict has no 'reward', only 'score'"),
        ({}, "the dict has no 'reward', only nothing"),
        ({"reward": 1, "subscores": [3]}, "a sub-score must be a SubScore or a dict of one, got int 3"),
        ({"reward": 1, "subscores": [{"value": 3}]}, "is not a score"),
        ({"reward": 1, "info": [3]}, "is not a score"),
        ([], "got list []"),
        ([HALF, 1.0], "got list"),
        ([SubScore(name="late", value=1, weight=-1)], "at least one sub-score with a positive weight"),
        ([1.0], "got list [1.0]"),
        (1j, "got complex 1j"),
    ],
)
def test_a_second_yield_that_is_no_score(value: Any, said: str) -> None:
    with pytest.raises(GraderError) as caught:
        evaluation_from(value)
    assert said in str(caught.value)
    assert str(caught.value).startswith("the scenario's second yield is not a score: ")


@pytest.mark.parametrize(
    "value", [Evaluation(reward=1, content="it broke", isError=True), {"reward": 1, "isError": True}]
)
def test_an_evaluation_that_says_grading_failed_is_no_score(value: Any) -> None:
    with pytest.raises(GraderError, match=r"it broke|grading failed"):
        evaluation_from(value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(HALF) | st.just(TEXT),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["reward", "role", "content", "subscores"]), inner),
    max_leaves=6,
)


@given(anything)
def test_any_yield_is_a_finite_score_or_a_grader_error(value: Any) -> None:
    try:
        evaluation = evaluation_from(value)
    except GraderError:
        return
    assert math.isfinite(evaluation.reward)


@given(anything)
def test_any_yield_is_a_prompt_that_says_something_or_a_setup_error(value: Any) -> None:
    try:
        prompt = prompt_from(value)
    except SetupError:
        return
    assert any(item.content for item in prompt.messages)
