"""What the Gemini API answers, as a turn of the model."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core import trace
from hud_core.agents.conversation import MalformedCall, ModelTurn, read_call
from hud_core.errors import ProviderError
from hud_core.model.evaluation import StopReason
from hud_core.model.rollout import NO_USAGE, Usage
from hud_gemini.citations import Grounding, read_citations
from hud_gemini.computer import action_call, log_confirmation
from hud_gemini.tools import computer_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from hud_core.agents.conversation import Conversation
    from hud_core.agents.native import NativeTool
    from hud_core.model.tools import ToolCall

WITHHELD = frozenset({
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION", "JAILBREAK",
    "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
})  # fmt: skip
"""Why the endpoint keeps an answer back. Other words, known and unknown, say what the turn itself shows."""
CUT_OFF = frozenset({"MAX_TOKENS", "CONTINUATION"})
NOT_CALLED = {
    "MALFORMED_FUNCTION_CALL": "it is not a well-formed function call",
    "UNEXPECTED_TOOL_CALL": "there is no such function",
}
"""Why the endpoint discards a call, and what the model is told."""
CALLED = (re.compile(r"default_api\.([\w-]+)\("), re.compile(r"([\w-]+)\("))
"""Where the name is in the Python that the model wrote instead of a call."""


class FunctionCall(msgspec.Struct):
    """A call of a function, or an action of the native computer tool."""

    name: str | None = None
    args: Any = None
    id: str | None = None


class Part(msgspec.Struct, rename="camel"):
    """A part of what the model said. Fields that are not here only go back."""

    text: str | None = None
    thought: bool | None = None
    function_call: FunctionCall | None = None
    executable_code: Any = None
    code_execution_result: Any = None
    tool_call: Any = None

    @property
    def hosted(self) -> Any:  # noqa: ANN401  as the API has it
        """What a tool at Google's did."""
        return self.executable_code or self.code_execution_result or self.tool_call


class WireContent(msgspec.Struct):
    """What the model said."""

    parts: list[Part] | None = None


class Candidate(Grounding, rename="camel"):
    """One of the answers; only the first is read."""

    content: msgspec.Raw = msgspec.Raw(b"null")
    finish_reason: str | None = None
    finish_message: str | None = None
    safety_ratings: Any = None


class Feedback(msgspec.Struct, rename="camel"):
    """What the endpoint thinks of the prompt."""

    block_reason: str | None = None
    block_reason_message: str | None = None
    safety_ratings: Any = None


class WireUsage(msgspec.Struct, rename="camel"):
    """The token counts."""

    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None


class WireAnswer(msgspec.Struct, rename="camel"):
    """The whole body."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: WireUsage | None = None
    model_version: str | None = None
    response_id: str | None = None


_decoder = msgspec.json.Decoder(WireAnswer)
_content_decoder = msgspec.json.Decoder(WireContent | None)


def read_reply(body: str, conversation: Conversation, excluded: Collection[str] = ()) -> ModelTurn:
    """Read an answer.

    Args:
        body: The body of the answer.
        conversation: What it answers.
        excluded: Actions of the native computer tool that the model was not offered.

    Raises:
        ProviderError: It is no answer of the Gemini API, or holds no candidate and no reason why.
    """
    try:
        answer = _decoder.decode(body)
        feedback = answer.prompt_feedback or Feedback()
        if answer.candidates:
            return _turn(answer.candidates[0], answer, _Reader(conversation, excluded))
    except msgspec.MsgspecError as error:
        raise ProviderError(f"the endpoint's answer is not one of the Gemini API: {error}") from error
    if feedback.block_reason is None:
        raise ProviderError("the endpoint answered without a candidate, and gave no reason")
    _log_withheld("the prompt", feedback.block_reason, feedback.block_reason_message, feedback.safety_ratings)
    return ModelTurn(
        stop=StopReason.CONTENT_FILTER,
        finish=feedback.block_reason,
        usage=_usage(answer.usage_metadata),
        model=answer.model_version or "",
        request_id=answer.response_id,
        raw={"role": "model", "parts": []},
    )


def _turn(candidate: Candidate, answer: WireAnswer, reader: _Reader) -> ModelTurn:
    parts = (_content_decoder.decode(candidate.content) or WireContent()).parts or []
    reason = candidate.finish_reason or ""
    _log(candidate, parts)
    raw: dict[str, Any] = msgspec.json.decode(candidate.content) or {}
    calls: tuple[ToolCall | MalformedCall, ...]
    if reason in NOT_CALLED:
        written = candidate.finish_message or ""
        named = [part.function_call.name for part in parts if part.function_call]
        calls = (_malformed(reason, written, reader.call_id(0), named),)
        raw["parts"] = [part for part in raw.get("parts") or [] if part.get("text")] + [{"text": written or reason}]
    else:
        calls = tuple(reader.calls([part.function_call for part in parts if part.function_call]))
    return ModelTurn(
        text="".join(part.text or "" for part in parts if not part.thought),
        reasoning="".join(part.text or "" for part in parts if part.thought),
        calls=calls,
        stop=_stop(reason),
        citations=read_citations(candidate, [None if part.thought else part.text for part in parts]),
        raw={"role": "model", **raw, "parts": [_sendable(part) for part in raw.get("parts") or ()]},
        model=answer.model_version or "",
        usage=_usage(answer.usage_metadata),
        finish=candidate.finish_reason,
        request_id=answer.response_id,
    )


def _sendable(part: dict[str, Any]) -> dict[str, Any]:
    """Give a part as it came; a conversation with arguments that are no object would be rejected."""
    call = part.get("functionCall") or {}
    if isinstance(call.get("args"), dict | None):
        return part
    return {**part, "functionCall": {**call, "args": {}}}


def _stop(reason: str) -> StopReason | None:
    if reason in WITHHELD:
        return StopReason.CONTENT_FILTER
    return StopReason.TRUNCATED if reason in CUT_OFF else None


def _malformed(reason: str, written: str, call_id: str, named: list[str | None]) -> MalformedCall:
    found = [match[1] for pattern in CALLED if (match := pattern.search(written))]
    name = next(filter(None, [*named, *found]), "unknown")
    return MalformedCall(name=name, id=call_id, raw=written, problem=NOT_CALLED[reason])


def _log(candidate: Candidate, parts: list[Part]) -> None:
    """Record what a turn does not show: what ran at Google's, and that the endpoint keeps something back."""
    for part in parts:
        if part.hosted:
            trace.log_line(f"at Google's: {json.dumps(part.hosted)}", source="agent")
    if candidate.finish_reason in WITHHELD:
        _log_withheld("the answer", candidate.finish_reason, candidate.finish_message, candidate.safety_ratings)


def _log_withheld(what: str, reason: str, message: str | None, ratings: object) -> None:
    """Record in the endpoint's own words why it keeps something back."""
    words = [f"the endpoint withheld {what}: {reason}", message, json.dumps(ratings) if ratings else None]
    trace.log_line("; ".join(filter(None, words)), source="agent")


def _usage(usage: WireUsage | None) -> Usage:
    if usage is None:
        return NO_USAGE
    thoughts = usage.thoughts_token_count or 0
    return Usage(
        input_tokens=(usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        output_tokens=(usage.candidates_token_count or 0) + thoughts,
        cached_tokens=usage.cached_content_token_count or 0,
        reasoning_tokens=thoughts,
    )


class _Reader:
    """Reads the calls of a turn: of functions, and of the computer where the model operates one."""

    def __init__(self, conversation: Conversation, excluded: Collection[str]) -> None:
        self._functions = {tool.name for tool in conversation.tools}
        self._computer: NativeTool | None = computer_of(conversation.native)
        self._excluded = excluded
        self._turn = len(conversation.turns)

    def calls(self, calls: list[FunctionCall]) -> list[ToolCall | MalformedCall]:
        """Read the calls; an id that is missing or given twice is made up, since results are told by it."""
        read: dict[str, ToolCall | MalformedCall] = {}
        for place, call in enumerate(calls):
            call_id = call.id if call.id and call.id not in read else self.call_id(place)
            read[call_id] = self._call(call.name or "", call.args, call_id)
        return list(read.values())

    def call_id(self, place: int) -> str:
        """Make up the id of a call of this turn."""
        return f"call_{self._turn}_{place}"

    def _call(self, name: str, args: Any, call_id: str) -> ToolCall | MalformedCall:  # noqa: ANN401  as it came
        if self._computer is not None and isinstance(args, dict | None) and not self._is_function(name):
            log_confirmation(name, args or {})
            return action_call(self._computer, name, args or {}, call_id)
        return read_call(name, args if isinstance(args, dict | str | None) else json.dumps(args), call_id)

    def _is_function(self, name: str) -> bool:
        """Whether a name is a function's; all others are the computer's, whose actions differ from model to model."""
        return name in self._functions or name in self._excluded
