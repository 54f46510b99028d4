"""The settings of the agents on the Responses API."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen

from hud_core.agents.config import OPERATIONAL, must_be
from hud_openai.config import EndpointConfig, one_of

PASSED = (
    "top_p", "top_logprobs", "max_tool_calls", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "safety_identifier", "user", "include", "context_management", "moderation",
)  # fmt: skip


@frozen(kw_only=True)
class OpenAIConfig(EndpointConfig):
    """Settings of `OpenAIAgent`, beside those that every agent has and those named in `PASSED`."""

    agent = "openai"
    passed = PASSED
    managed = (
        "input", "instructions", "model", "tools", "stream", "stream_options", "store", "previous_response_id",
        "conversation", "background", "prompt",
    )  # fmt: skip

    model: str | None = field(default="gpt-5.4", validator=must_be(str))
    """The model's name."""
    max_output_tokens: int | None = field(default=None, validator=must_be(int))
    """How many tokens one turn may take, thoughts included."""
    temperature: float | None = field(default=None, validator=must_be(int, float))
    """Reasoning models take none."""
    reasoning: dict[str, Any] | None = field(default=None, validator=must_be(dict))
    """How much the model thinks and what it tells of it, such as ``{"effort": "high", "summary": "auto"}``."""
    tool_choice: str | dict[str, Any] | None = field(default=None, validator=must_be(str, dict))
    """Which tools the model may or must call; sent only where there are tools."""
    text: dict[str, Any] | None = field(default=None, validator=must_be(dict))
    """The form of the answer, such as ``{"verbosity": "low"}``; the ``format`` of typed answers is filled in."""
    truncation: Literal["auto", "disabled"] | None = field(default=None, validator=one_of("auto", "disabled"))
    """Whether the endpoint drops the beginning of a conversation that has grown too long."""
    parallel_tool_calls: bool | None = field(default=None, validator=must_be(bool))
    """Whether the model may call several tools in one turn; sent only where there are tools."""
    store: bool = field(default=True, validator=must_be(bool))
    """Whether the endpoint keeps the conversation, so that each request holds only what is new. Without it the whole
    conversation is sent each time, with the model's thoughts, which are encrypted."""
    validate_api_key: bool = field(default=False, validator=must_be(bool), metadata=OPERATIONAL)
    """Whether the models are listed before the first request, so that a wrong key is told from any other refusal."""


def _with_summary(reasoning: dict[str, Any] | None) -> object:
    return {"summary": "auto", **(reasoning or {})} if isinstance(reasoning, dict | None) else reasoning


@frozen(kw_only=True)
class OperatorConfig(OpenAIConfig):
    """Settings of `OperatorAgent`."""

    agent = "operator"

    model: str | None = field(default="computer-use-preview", validator=must_be(str))
    """The model's name."""
    reasoning: dict[str, Any] | None = field(default=None, converter=_with_summary, validator=must_be(dict))
    """The summary is ``auto``, unless it says otherwise."""
    truncation: Literal["auto", "disabled"] | None = field(default="auto", validator=one_of("auto"))
    """The model takes nothing but ``auto``."""
    environment: Literal["windows", "mac", "linux", "ubuntu", "browser"] | None = field(
        default=None, validator=one_of("windows", "mac", "linux", "ubuntu", "browser")
    )
    """What the screen shows; by default what the computer tool says, else ``linux``."""
