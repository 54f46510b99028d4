"""The OpenAI Agents SDK's own runner with the tools of a rollout."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import anyio.to_thread
from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText


class Scripted(Model):
    """A model that makes some calls, and then says what they gave."""

    def __init__(self, **calls: str) -> None:
        self.calls = calls
        self.tools: list[Any] = []

    async def get_response(self, *, tools: Any, **request: Any) -> Any:
        given = request["input"]
        self.tools = tools
        told = (
            []
            if isinstance(given, str)
            else [item["output"] for item in given if item.get("type") == "function_call_output"]
        )
        output: list[Any] = [
            ResponseFunctionToolCall(type="function_call", call_id=name, name=name, arguments=arguments)
            for name, arguments in self.calls.items()
        ]
        if told:
            text = ResponseOutputText(type="output_text", text=json.dumps(told), annotations=[])
            output = [
                ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[text])
            ]
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


QUIET = RunConfig(tracing_disabled=True)


def agent_of(ctx: Any, **calls: str) -> Any:
    return Agent(name="counter", model=Scripted(**calls), tools=ctx.as_openai_agent_tools())


async def test_its_runner_calls_the_tools(ctx: Any) -> None:
    agent = agent_of(ctx, count_letter='{"text": "strawberry"}', refuse='{"config": "x"}')
    result = await Runner.run(agent, ctx.prompt, run_config=QUIET)
    good, bad = json.loads(result.final_output)
    assert json.loads(good) == {"count": 3}
    assert bad == "[tool error] not with x"
    assert agent.model.tools[0].params_json_schema["properties"]["letter"] == {"type": "string", "default": "r"}
    assert sorted(event.call.name for event in ctx.events if event.type == "tool_called") == ["count_letter", "refuse"]


async def test_malformed_arguments_are_told_to_the_model(ctx: Any) -> None:
    result = await Runner.run(agent_of(ctx, count_letter='{"text": "straw'), ctx.prompt, run_config=QUIET)
    assert "was not called: invalid JSON" in result.final_output


async def test_its_runner_works_on_another_event_loop(ctx: Any) -> None:
    agent = agent_of(ctx, count_letter='{"text": "strawberry"}')
    run = partial(anyio.run, partial(Runner.run, agent, ctx.prompt, run_config=QUIET))
    result = await anyio.to_thread.run_sync(run)
    assert json.loads(json.loads(result.final_output)[0]) == {"count": 3}
