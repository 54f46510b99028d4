"""Where users' code failed, and who is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hud_core import Environment
from hud_core.errors import GraderError
from hud_core.failures import current_listener, place_of, user_frames
from hud_core.model.tools import ToolCall


def raised_by(function):
    with pytest.raises(BaseException) as caught:  # noqa: PT011  whatever it is
        function()
    return caught.value


def here(function, offset):
    """The place of a line of a function of this file."""
    return f" ({__file__}:{function.__code__.co_firstlineno + offset})"


def reads_what_is_no_json():
    json.loads("{")


def says_no():
    raise GraderError("no")


def says_no_because_of_code():
    try:
        reads_what_is_no_json()
    except ValueError as error:
        raise GraderError("no") from error


def says_no_because_of_a_library():
    try:
        json.loads("{")
    except ValueError as error:
        raise GraderError("no") from error.with_traceback(error.__traceback__.tb_next)


def fails_in_a_group():
    raise ExceptionGroup("one", [raised_by(reads_what_is_no_json)])


def test_the_place_is_in_the_users_code_and_not_in_the_library_that_raised():
    assert place_of(raised_by(reads_what_is_no_json)) == here(reads_what_is_no_json, 1)


def test_an_error_of_a_group_has_its_own_place():
    assert place_of(raised_by(fails_in_a_group)) == here(reads_what_is_no_json, 1)


def test_an_error_that_was_raised_on_purpose_needs_no_place():
    assert place_of(raised_by(says_no)) == ""


def test_what_caused_it_has_the_place():
    assert place_of(raised_by(says_no_because_of_code)) == here(reads_what_is_no_json, 1)


def test_a_library_that_caused_it_is_no_place_to_look_at():
    assert place_of(raised_by(says_no_because_of_a_library)) == ""


def test_where_only_a_library_was_it_is_named():
    error = raised_by(reads_what_is_no_json)
    assert "/json/" in place_of(error.with_traceback(error.__traceback__.tb_next.tb_next))


def test_a_callers_own_code_is_no_users():
    error = raised_by(reads_what_is_no_json)
    assert user_frames(error, str(Path(__file__).parent)) == []
    assert "/json/" in place_of(error, str(Path(__file__).parent))


def test_a_mistake_in_a_file_is_in_that_file():
    assert place_of(raised_by(lambda: compile("x =", "rules.py", "exec"))) == " (rules.py:1)"


def test_what_was_never_raised_has_no_place():
    assert place_of(ValueError("x")) == ""
    assert user_frames(ValueError("x")) == []


async def test_a_listener_is_told_what_a_tool_raised_and_the_agent_reads_its_text():
    env = Environment("letters")

    @env.tool
    async def fails() -> None:
        reads_what_is_no_json()

    @env.tool
    def exits() -> None:
        raise SystemExit(3)

    told = []
    token = current_listener.set(lambda what, error: told.append((what, type(error).__name__, place_of(error))))
    try:
        results = [await env.session().tools.call_tool(ToolCall(name)) for name in ("fails", "exits")]
        await env.session().tools.call_tool(ToolCall("fails", {"odd": 1}))  # the agent's mistake
    finally:
        current_listener.reset(token)
    assert [what for what, *_ in told] == ["tool 'fails'", "tool 'exits'"]
    assert told[0][1:] == ("JSONDecodeError", here(reads_what_is_no_json, 1))
    assert not any(__file__ in result.text for result in results)


async def test_without_a_listener_nothing_happens():
    env = Environment("letters")

    @env.tool
    async def fails() -> None:
        reads_what_is_no_json()

    assert (await env.session().tools.call_tool(ToolCall("fails"))).is_error
