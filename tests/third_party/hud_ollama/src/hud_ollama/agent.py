"""One question to Ollama; the loop around it is the kernel's."""

from __future__ import annotations

import json
from urllib.request import Request, urlopen

from anyio.to_thread import run_sync

from hud_core import ProviderError, ToolLoopAgent, Usage
from hud_core.agents import ModelTurn, ToolTurn, read_call


class OllamaAgent(ToolLoopAgent):
    async def respond(self, conversation):
        messages = [message for turn in conversation.turns for message in self.wire(turn)]
        messages.insert(0, {"role": "system", "content": conversation.system})
        tools = [{"type": "function", "function": self.function(tool)} for tool in conversation.tools]
        request = {"model": self.config.model, "messages": messages, "tools": tools, "stream": False}
        try:
            reply = await run_sync(self.post, request)
        except OSError as error:
            raise ProviderError(f"Ollama: {error}") from error
        said = reply["message"]
        functions = [call["function"] for call in said.get("tool_calls", ())]
        calls = tuple(read_call(function["name"], function["arguments"]) for function in functions)
        usage = Usage(input_tokens=reply["prompt_eval_count"], output_tokens=reply["eval_count"])
        return ModelTurn(text=said["content"], calls=calls, raw=said, usage=usage)

    def function(self, tool):
        return {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}

    def wire(self, turn):
        if isinstance(turn, ToolTurn):
            return [{"role": "tool", "tool_name": call.name, "content": result.text} for call, result in turn.results]
        return [turn.raw if isinstance(turn, ModelTurn) else {"role": turn.role, "content": turn.text}]

    def post(self, request):
        with urlopen(Request("http://127.0.0.1:11434/api/chat", json.dumps(request).encode())) as reply:
            return json.load(reply)
