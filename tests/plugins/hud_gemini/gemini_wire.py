"""What the stub endpoint of ../hud_openai says when it is asked as the Gemini API is."""

from __future__ import annotations

from typing import Any

from google.genai import types
from stub_endpoint import Reply, StubEndpoint, hang_up

__all__ = ["Reply", "StubEndpoint", "answer", "call", "check_form", "fail", "hang_up", "say"]

USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 2, "totalTokenCount": 12}


def answer(parts: list[dict[str, Any]] | None, finish: str | None = "STOP", **candidate: Any) -> Reply:
    """Answer with these parts."""
    content = {} if parts is None else {"content": {"role": "model", "parts": parts}}
    body = {
        "candidates": [{**content, "finishReason": finish, "index": 0, **candidate}],
        "usageMetadata": USAGE,
        "modelVersion": "stub-1",
        "responseId": "resp-1",
    }
    return Reply(body)


def say(text: str, finish: str = "STOP", **candidate: Any) -> Reply:
    """Answer with text."""
    return answer([{"text": text}], finish, **candidate)


def call(*calls: tuple[str, Any], ids: bool = False, text: str = "") -> Reply:
    """Call functions: each a name and its arguments; the first carries a signature, as the API sends it."""
    parts: list[dict[str, Any]] = [{"text": text}] if text else []
    for place, (name, args) in enumerate(calls):
        known = {"id": f"fc-{place}"} if ids else {}
        signed = {} if place else {"thoughtSignature": "c2lnbmVk+w=="}
        parts.append({"functionCall": {"name": name, "args": args, **known}, **signed})
    return answer(parts)


def fail(status: int, message: str = "no", *details: dict[str, Any], headers: dict[str, str] | None = None) -> Reply:
    """Answer with an error."""
    error = {"code": status, "message": message, "status": "STUB", "details": list(details)}
    return Reply({"error": error}, status, headers or {})


def check_form(body: dict[str, Any]) -> None:
    """Check a request against the SDK's own types, which know every field of the API and no others.

    Raises:
        ValidationError: It is not what the API takes.
    """
    for content in (*body["contents"], *([body["systemInstruction"]] if "systemInstruction" in body else ())):
        types.Content.model_validate(content)
    for tool in body.get("tools", ()):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(body.get("toolConfig", {}))
    types.GenerationConfig.model_validate(body["generationConfig"])
    for setting in body.get("safetySettings", ()):
        types.SafetySetting.model_validate(setting)
