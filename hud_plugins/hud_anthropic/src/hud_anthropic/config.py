"""The settings of the agent `claude`."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal, get_args

from attrs import field, frozen

from hud_core.agents.config import OPERATIONAL, SECRET, BaseAgentConfig, at_least, must_be
from hud_core.agents.endpoint import address_of, must_be_url, public_url
from hud_core.errors import ConfigError
from hud_core.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from anthropic import AsyncAnthropic, AsyncAnthropicBedrock, AsyncAnthropicVertex  # noqa: TC004  attrs ignores it
    from attrs import Attribute

SENT = (
    "max_tokens",
    "metadata",
    "model",
    "service_tier",
    "stop_sequences",
    "temperature",
    "thinking",
    "top_k",
    "top_p",
)
"""Settings that go into the request as they are."""

MANAGED = (*SENT, "messages", "output_config", "stream", "system", "tool_choice", "tools")
"""Fields of the request that the agent fills from the conversation and its settings."""

LEAST_THINKING = 1024
"""The smallest budget of thinking tokens that the API takes."""

INTERLEAVED = "interleaved-thinking-"
"""How the beta begins with which the thinking budget is one of the whole turn, and may exceed ``max_tokens``."""

Effort = Literal["low", "medium", "high", "xhigh", "max"]


def _words(value: object) -> object:
    """Read one word as a list of one; leave what is no list to the validator."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _thinking(value: object) -> object:
    """Read a budget, or the word of a mode, as what the API takes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"type": "enabled", "budget_tokens": value}
    return {"type": value} if isinstance(value, str) else value


def _tool_choice(value: object) -> object:
    """Read a mode, or the name of a tool, as what the API takes."""
    if not isinstance(value, str):
        return value
    return {"type": value} if value in ("auto", "any", "none") else {"type": "tool", "name": value}


def _one_of(*words: str) -> Any:  # noqa: ANN401  a validator, whose type attrs does not export
    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is not None and value not in words:
            raise ConfigError(f"setting {attribute.name!r} must be {' or '.join(map(repr, words))}, got {value!r}")

    return check


def _typed(_: object, attribute: Attribute[Any], value: dict[str, Any] | None) -> None:
    if value is not None and not isinstance(value.get("type"), str):
        raise ConfigError(f"setting {attribute.name!r} must have a 'type', got {value!r}")


def _free(_: object, attribute: Attribute[Any], value: dict[str, Any]) -> None:
    if taken := [name for name in value if name in MANAGED]:
        raise ConfigError(f"setting {attribute.name!r} must not hold {', '.join(taken)}: the agent fills these itself")


def _asynchronous(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not iscoroutinefunction(getattr(value, "post", None)):
        kind = type(value).__name__
        raise ConfigError(
            f"setting {attribute.name!r} must be an asynchronous client (AsyncAnthropic, ...), got {kind}"
        )


@frozen(kw_only=True)
class ClaudeConfig(BaseAgentConfig):
    """Settings of `ClaudeAgent`, beside those that every agent has."""

    model: str | None = field(default="claude-sonnet-4-5", validator=must_be(str))
    """The model's name, as its endpoint knows it."""
    base_url: str | None = field(
        default=None, validator=[must_be(str), must_be_url], repr=lambda url: repr(public_url(url))
    )
    """Where the API is, without ``/v1``; by default ``ANTHROPIC_BASE_URL``, then Anthropic's own."""
    api_key: str | None = field(default=None, validator=must_be(str), repr=False, metadata=SECRET)
    """By default ``ANTHROPIC_API_KEY``."""
    validate_api_key: bool = field(default=True, validator=must_be(bool), metadata=OPERATIONAL)
    """Whether an agent without a key is refused; False for gateways that need none."""
    model_client: AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicVertex | None = field(
        default=None, validator=_asynchronous, repr=False, metadata=SECRET
    )
    """A client of your own; closing it stays with you."""
    max_tokens: int = field(default=16384, validator=[must_be(int), at_least(1)])
    """The most tokens of one turn, thinking included."""
    temperature: float | None = field(default=None, validator=must_be(int, float))
    top_p: float | None = field(default=None, validator=must_be(int, float))
    top_k: int | None = field(default=None, validator=must_be(int))
    stop_sequences: tuple[str, ...] | None = field(default=None, converter=_words, validator=must_be(tuple))
    """Texts that end a turn."""
    thinking: dict[str, Any] | None = field(default=None, converter=_thinking, validator=[must_be(dict), _typed])
    """A budget in tokens, ``"adaptive"``, ``"disabled"``, or the API's own form."""
    effort: Effort | None = field(default=None, validator=_one_of(*get_args(Effort)))
    """How much the model puts into an answer, where it can be told."""
    tool_choice: dict[str, Any] | None = field(default=None, converter=_tool_choice, validator=[must_be(dict), _typed])
    """``"auto"``, ``"any"``, ``"none"``, the name of a tool, or the API's own form."""
    parallel_tool_calls: bool | None = field(default=None, validator=must_be(bool))
    """Whether one turn may call several tools; by default if it operates no computer, whose actions have an order."""
    use_computer_beta: bool = field(default=True, validator=must_be(bool))
    """Whether a computer tool is offered in Anthropic's own form, which is a beta; else as an ordinary tool."""
    citations: bool = field(default=False, validator=must_be(bool))
    """Whether answers cite the documents of every task; else of those whose scenario has ``enable_citations``."""
    structured_output: Literal["schema", "prompt"] = field(default="schema", validator=_one_of("schema", "prompt"))
    """How a typed answer is asked for: by the API's own JSON output, or in words."""
    prompt_caching: bool = field(default=True, validator=must_be(bool), metadata=OPERATIONAL)
    """Whether the endpoint keeps what it has read, for the next turn."""
    cache_ttl: Literal["5m", "1h"] = field(default="5m", validator=_one_of("5m", "1h"), metadata=OPERATIONAL)
    """For how long."""
    betas: tuple[str, ...] = field(default=(), converter=_words, validator=must_be(tuple))
    """Beta features to switch on, beside those that tools need."""
    metadata: dict[str, Any] | None = field(default=None, validator=must_be(dict), metadata=OPERATIONAL)
    """Sent along, such as ``{"user_id": "..."}``."""
    service_tier: str | None = field(default=None, validator=must_be(str), metadata=OPERATIONAL)
    """``"auto"`` or ``"standard_only"``."""
    timeout: float | None = field(default=None, validator=must_be(int, float), metadata=OPERATIONAL)
    """Seconds without a word from the endpoint until a request counts as failed; by default the SDK's 600."""
    extra_body: dict[str, Any] = field(factory=dict, validator=[must_be(dict), _free])
    """Further fields of the request."""
    extra_headers: dict[str, str] = field(factory=dict, validator=must_be(dict), repr=False, metadata=SECRET)
    """Further headers of the request."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read settings; the key and the base URL may come from outside.

        Raises:
            ConfigError: A setting is unknown, given twice or wrong, or there is no key.
        """
        own = dict(options)
        client = own.get("model_client")
        if client is None:
            own["base_url"] = own.get("base_url") or settings.anthropic_base_url
            own["api_key"] = own.get("api_key") or settings.anthropic_api_key
        else:
            own["base_url"] = address_of(client) or own.get("base_url")
        config = super().from_options(own)
        config.check_usable()
        return config

    def check_usable(self) -> None:
        """Find out whether there is a model and somebody to ask, and room to think.

        Raises:
            ConfigError: There is not.
        """
        if not self.model:
            raise ConfigError("claude needs a model, such as model='claude-sonnet-4-5'")
        if self.validate_api_key and self.model_client is None and not self.api_key:
            raise ConfigError(
                "claude needs a key: set ANTHROPIC_API_KEY, or give api_key='...', or model_client=... (for Bedrock or "
                "Vertex, or a client of your own); for a gateway without keys give validate_api_key=False"
            )
        self._check_budget()

    def _check_budget(self) -> None:
        budget = (self.thinking or {}).get("budget_tokens")
        if budget is None:
            return
        most = float("inf") if any(beta.startswith(INTERLEAVED) for beta in self.betas) else self.max_tokens
        if not isinstance(budget, int) or not LEAST_THINKING <= budget < most:
            raise ConfigError(
                f"setting 'thinking' must be a budget of at least {LEAST_THINKING} tokens and less than max_tokens="
                f"{self.max_tokens}, got {budget!r}"
            )

    def described(self) -> dict[str, Any]:
        """Give the settings that decide how the agent behaves, without secrets."""
        return {**super().described(), "base_url": public_url(self.base_url)}
