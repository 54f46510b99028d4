"""The ADK's own runner with the tools of a rollout."""

from __future__ import annotations

import json
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types
from pydantic import Field


class Scripted(BaseLlm):
    """A model that calls two tools, and then says what they gave."""

    requests: list[Any] = Field(default_factory=list)

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
        self.requests.append(llm_request)
        told = [
            part.function_response
            for content in llm_request.contents
            for part in content.parts
            if part.function_response
        ]
        if told:
            parts = [types.Part(text=json.dumps({response.name: response.response for response in told}))]
        else:
            calls = (("count_letter", {"text": "strawberry"}), ("refuse", {"config": "x"}))
            parts = [types.Part(function_call=types.FunctionCall(name=name, args=args)) for name, args in calls]
        yield LlmResponse(content=types.Content(role="model", parts=parts))


async def test_its_runner_calls_the_tools(ctx: Any) -> None:
    model = Scripted(model="scripted")
    agent = LlmAgent(name="counter", model=model, tools=ctx.as_adk_tools())
    runner = InMemoryRunner(agent=agent, app_name="letters")
    session = await runner.session_service.create_session(app_name="letters", user_id="me")
    texts = []
    async for event in runner.run_async(user_id="me", session_id=session.id, new_message=types.UserContent(ctx.prompt)):
        texts += [part.text for part in event.content.parts if part.text]
    answer = json.loads(texts[-1])
    assert json.loads(answer["count_letter"]["result"]) == {"count": 3}
    assert answer["refuse"] == {"error": "[tool error] not with x"}
    (declared, _) = model.requests[0].config.tools[0].function_declarations
    assert declared.parameters_json_schema["properties"]["text"] == {"type": "string", "description": "Where to look."}
    assert sorted(event.call.name for event in ctx.events if event.type == "tool_called") == ["count_letter", "refuse"]
