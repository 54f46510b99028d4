from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core import trace
from hud_core.agents import Conversation, ModelTurn, ToolLoopAgent
from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools
from hud_core.errors import ConfigError, ProviderError, describe
from hud_core.metering.retrying import Endurance
from hud_core.model.content import Message, Prompt, TextContent

PROMPT = Prompt(messages=(Message(content=(TextContent(text="hello"),)),))


class Flaky(ToolLoopAgent):
    """Fails as told, then answers."""

    def __init__(self, *failures: ProviderError, **options: Any) -> None:
        super().__init__(**options)
        self.failures = list(failures)
        self.tries = 0

    async def respond(self, conversation: Conversation) -> ModelTurn:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return ModelTurn(text="ok")


def broken(**options: Any) -> ProviderError:
    return ProviderError("broken", **{"retry_after": 0.001, **options})


async def test_a_call_is_tried_again_and_the_record_says_how_often() -> None:
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    try:
        answer = await Flaky(broken(), broken()).run(PROMPT, Toolbox(LocalTools({})))
    finally:
        trace.current_recorder.reset(token)
    _, event = recorder.pending
    assert event.type == "model_called"
    assert (answer.text, event.retries) == ("ok", 2)
    assert event.waited >= 0.002


async def test_tries_end_at_the_limit_and_where_they_cannot_help() -> None:
    for failures, options, tries in (
        ([broken()] * 9, {"max_retries": 2}, 3),
        ([broken(retry=False)] * 9, {}, 1),
        ([broken(retry=False, overloaded=True)] * 9, {}, 1),
        ([broken(retry_after=601)] * 9, {}, 1),
        ([broken(overloaded=True)] * 9, {"max_retries": 1, "overload_patience": 0}, 2),
    ):
        agent = Flaky(*failures, **options)
        with pytest.raises(ProviderError, match="broken"):
            await agent.run(PROMPT, Toolbox(LocalTools({})))
        assert agent.tries == tries


async def test_an_overload_that_is_given_up_says_which_setting_decides() -> None:
    agent = Flaky(broken(overloaded=True, retry_after=3600))
    with pytest.raises(ProviderError) as raised:
        await agent.run(PROMPT, Toolbox(LocalTools({})))
    assert describe(raised.value) == (
        "broken\ntried 1 times; it asks for 3600 s; setting 'overload_patience' says how long to wait"
    )


async def test_overload_does_not_count_as_a_failure() -> None:
    agent = Flaky(*[broken(overloaded=True)] * 4, broken(), max_retries=1)
    assert (await agent.run(PROMPT, Toolbox(LocalTools({})))).text == "ok"


@given(asked=st.none() | st.floats(0, 60), patience=st.floats(0, 1000), retries=st.integers(0, 9))
def test_patience_ends_whatever_the_endpoint_says(asked: float | None, patience: float, retries: int) -> None:
    endurance = Endurance(retries, patience)
    waits = []
    while (wait := endurance.wait(ProviderError("full", retry_after=asked, overloaded=True))) is not None:
        waits.append(wait)
        assert wait >= (asked or 0.0)
    assert len(waits) == endurance.tries
    assert sum(waits) >= patience - 1e-6
    assert sum(waits) <= patience + (retries + 1) * 66.0


def test_an_endpoint_that_has_answered_nobody_for_long_is_given_up() -> None:
    error = ProviderError("full", overloaded=True)
    assert Endurance(5, 60).wait(error, silence=59) is not None
    assert Endurance(5, 60).wait(error, silence=61) is None
    assert Endurance(5, 60).wait(ProviderError("broken"), silence=61) is not None


@pytest.mark.parametrize("options", [{"max_retries": -1}, {"overload_patience": -0.5}, {"max_retries": 1.5}])
def test_settings_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Flaky(**options)
