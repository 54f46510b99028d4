"""The settings that say where an endpoint is and how to ask it, and those of the chat-completions agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from attrs import field, frozen

from hud_core.agents.config import OPERATIONAL, SECRET, BaseAgentConfig, must_be
from hud_core.agents.endpoint import address_of, must_be_url, public_url
from hud_core.errors import ConfigError
from hud_core.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from attrs import Attribute
    from openai import AsyncOpenAI  # noqa: TC004  attrs does not look at annotations, and the SDK is heavy

SAMPLING = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "frequency_penalty",
    "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "reasoning_effort", "verbosity", "tool_choice",
    "parallel_tool_calls", "response_format", "service_tier", "store", "metadata", "user", "prompt_cache_key",
    "safety_identifier", "modalities", "prediction", "web_search_options",
    # what vLLM, SGLang, llama.cpp and Ollama take beside OpenAI's own
    "top_k", "top_a", "min_p", "typical_p", "repetition_penalty", "min_tokens", "stop_token_ids", "ignore_eos",
    "skip_special_tokens", "chat_template_kwargs", "num_ctx", "mirostat", "grammar", "cache_prompt", "think",
)  # fmt: skip
"""Settings that go into a chat-completions request as they are."""

TRANSPORT = ("extra_headers", "extra_query", "extra_body")
"""Keys of `EndpointConfig.completion_kwargs` that are not fields of the request."""


def one_of(*values: str) -> Callable[[object, Attribute[Any], object], None]:
    """Make the validator of a setting that is None or one of these words."""

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if value is not None and value not in values:
            known = " or ".join(map(repr, values))
            raise ConfigError(f"setting {attribute.name!r} must be {known}, got {value!r}")

    return check


def _free(config: EndpointConfig, attribute: Attribute[Any], value: dict[str, Any]) -> None:
    if taken := [name for name in value if name in config.managed]:
        raise ConfigError(f"setting {attribute.name!r} must not hold {', '.join(taken)}: the agent fills these itself")
    for name in TRANSPORT:
        if not isinstance(value.get(name, {}), dict | None):
            raise ConfigError(f"{name!r} in setting {attribute.name!r} must be dict, got {type(value[name]).__name__}")


@frozen(kw_only=True)
class EndpointConfig(BaseAgentConfig):
    """What the settings of every agent on an API of OpenAI's share."""

    agent: ClassVar[str] = ""
    """What users call the agent."""
    passed: ClassVar[tuple[str, ...]] = ()
    """Settings that go into the request as they are. Others go there by `completion_kwargs`."""
    managed: ClassVar[tuple[str, ...]] = ()
    """Fields of the request that the agent fills, or that would break its loop."""

    base_url: str | None = field(
        default=None, validator=[must_be(str), must_be_url], repr=lambda url: repr(public_url(url))
    )
    """Where the API is, such as ``http://localhost:8000/v1``; by default ``OPENAI_BASE_URL``, then OpenAI's own."""
    api_key: str | None = field(default=None, validator=must_be(str), repr=False, metadata=SECRET)
    """By default ``OPENAI_API_KEY``; an endpoint of your own may need none."""
    timeout: float | None = field(default=None, validator=must_be(int, float), metadata=OPERATIONAL)
    """Seconds for each try of a request; by default the SDK's 600."""
    completion_kwargs: dict[str, Any] = field(factory=dict, validator=[must_be(dict), _free], repr=False)
    """Further fields of the request, and ``extra_headers``, ``extra_query`` and ``extra_body``."""
    openai_client: AsyncOpenAI | None = field(default=None, repr=False, metadata=SECRET)
    """A client of your own; closing it stays with you. ``model_client`` is another name of it."""

    @classmethod
    def names(cls) -> list[str]:
        """Name the settings that there are."""
        return [*super().names(), *cls.passed, "model_client"]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read settings; those of `passed` are gathered in `completion_kwargs`, the base URL may come from outside.

        Raises:
            ConfigError: A setting is unknown, missing, given twice or of the wrong type.
        """
        own = {name: value for name, value in options.items() if name not in cls.passed}
        passed = {name: value for name, value in options.items() if name in cls.passed and value is not None}
        if "model_client" in own and "openai_client" in own:
            raise ConfigError("settings 'model_client' and 'openai_client' are the same one; give it once")
        if "model_client" in own:
            own["openai_client"] = own.pop("model_client")
        more = own.get("completion_kwargs") or {}
        own["completion_kwargs"] = {**passed, **more} if isinstance(more, dict) else more
        own["base_url"] = address_of(own.get("openai_client")) or own.get("base_url") or settings.openai_base_url
        config = super().from_options(own)
        config.check_usable()
        return config

    def check_usable(self) -> None:
        """Find out whether there is somebody to ask.

        Raises:
            ConfigError: There is not.
        """
        if not (self.openai_client or self.base_url or self.api_key or settings.openai_api_key):
            raise ConfigError(
                f"{self.agent} needs an endpoint: give base_url='http://...', or set OPENAI_BASE_URL; "
                "for OpenAI itself set OPENAI_API_KEY"
            )

    def described(self) -> dict[str, Any]:
        """Give the settings that decide how the agent behaves; headers and queries may hold secrets: left out."""
        settings = super().described()
        hidden = ("extra_headers", "extra_query")
        kept = {name: value for name, value in self.completion_kwargs.items() if name not in hidden}
        return {**settings, "base_url": public_url(self.base_url), "completion_kwargs": kept}


@frozen(kw_only=True)
class ChatConfig(EndpointConfig):
    """Settings of `OpenAIChatAgent`, beside those that every agent has and those named in `SAMPLING`."""

    agent = "openai_compatible"
    passed = SAMPLING
    managed = ("messages", "model", "tools", "stream", "stream_options", "n", "functions", "function_call")

    checkpoint: str | None = field(default=None, validator=must_be(str))
    """Sent as the request's ``checkpoint``, for servers that hold several of one model."""
    structured_output: Literal["schema", "prompt"] = field(default="schema", validator=one_of("schema", "prompt"))
    """How a typed answer is asked for: by ``response_format``, or in words for servers that then call no tools."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read settings; where OpenAI itself is asked there is a default for the model, elsewhere nobody knows one.

        Raises:
            ConfigError: A setting is unknown, missing, given twice or of the wrong type.
        """
        is_elsewhere = any(options.get(name) for name in ("base_url", "openai_client", "model_client"))
        is_named = options.get("model") or options.get("checkpoint_name")
        if not (is_named or is_elsewhere or settings.openai_base_url):
            options = {**options, "model": "gpt-5-mini"}
        return super().from_options(options)

    def check_usable(self) -> None:
        """Find out whether there is a model, and somebody to ask.

        Raises:
            ConfigError: There is not.
        """
        super().check_usable()
        if not self.model:
            raise ConfigError(f"{self.agent} needs a model: give model='...', or -m on the command line")
