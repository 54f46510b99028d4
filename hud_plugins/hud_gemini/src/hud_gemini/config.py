"""The settings of the Gemini agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

from hud_core.agents.config import OPERATIONAL, SECRET, BaseAgentConfig, at_least, must_be
from hud_core.agents.endpoint import address_of, must_be_url, public_url
from hud_core.errors import ConfigError
from hud_core.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from attrs import Attribute
    from google.genai import Client  # noqa: TC004  attrs does not look at annotations, and the SDK is heavy

THINKING_LEVELS = ("minimal", "low", "medium", "high", "xhigh")
TOOL_MODES = ("auto", "any", "none", "validated")
HOSTED_TOOLS = ("google_search", "url_context", "code_execution", "google_maps")
"""Tools that run at Google's and need no set-up."""
MANAGED = ("contents", "systemInstruction", "tools", "toolConfig")
"""Fields of the request that the agent fills."""
NUMBER = must_be(int, float)


def _one_of(*choices: str) -> Callable[[object, Attribute[Any], object], None]:
    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and one not in choices:
                known = ", ".join(choices)
                raise ConfigError(f"setting {attribute.name!r} must be one of {known}, got {one!r}")

    return check


def _tuple(value: object) -> object:
    """Read one word as a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _thresholds(value: object) -> object:
    """Read safety settings as the API writes them, a list of category and threshold."""
    if isinstance(value, list) and all(isinstance(one, dict) and {"category", "threshold"} == {*one} for one in value):
        return {one["category"]: one["threshold"] for one in value}
    return value


def _free(_: object, attribute: Attribute[Any], value: dict[str, Any]) -> None:
    if taken := [name for name in value if name in MANAGED]:
        raise ConfigError(f"setting {attribute.name!r} must not hold {', '.join(taken)}: the agent fills these itself")


@frozen(kw_only=True)
class GeminiConfig(BaseAgentConfig):
    """Settings of `GeminiAgent`, beside those that every agent has. None leaves a choice to the model."""

    model: str | None = field(default="gemini-3-pro-preview", validator=must_be(str))
    """The model's name, as its endpoint knows it."""
    temperature: float | None = field(default=1.0, validator=NUMBER)
    """How free the choice of words is, from 0 to 2."""
    top_p: float | None = field(default=0.95, validator=NUMBER)
    """Only the likeliest tokens that together have this probability."""
    top_k: int | None = field(default=40, validator=must_be(int))
    """Only so many of the likeliest tokens."""
    max_output_tokens: int | None = field(default=8192, validator=[must_be(int), at_least(1)])
    """How long a turn may be, thoughts included."""
    stop_sequences: tuple[str, ...] | None = field(default=None, converter=_tuple, validator=must_be(tuple))
    """Texts that end a turn."""
    seed: int | None = field(default=None, validator=must_be(int))
    """For answers that differ less."""
    thinking_level: str | None = field(default=None, validator=_one_of(*THINKING_LEVELS))
    """How much a model of Gemini 3 thinks."""
    thinking_budget: int | None = field(default=None, validator=must_be(int))
    """Tokens that a model of Gemini 2.5 may think with; 0 is none, -1 is as many as it likes."""
    include_thoughts: bool = field(default=True, validator=must_be(bool))
    """Whether the endpoint sends summaries of the model's thoughts, for the record."""
    safety_settings: dict[str, str] | None = field(default=None, converter=_thresholds, validator=must_be(dict))
    """Thresholds by category, such as ``{"HARM_CATEGORY_HARASSMENT": "BLOCK_NONE"}``."""
    tool_mode: str | None = field(default=None, validator=_one_of(*TOOL_MODES))
    """Whether the model may (``auto``), must (``any``) or must not (``none``) call functions."""
    hosted_tools: tuple[str, ...] = field(
        default=(), converter=_tuple, validator=[must_be(tuple), _one_of(*HOSTED_TOOLS)]
    )
    """Tools that run at Google's, offered beside the environment's."""
    excluded_predefined_functions: tuple[str, ...] = field(default=(), converter=_tuple, validator=must_be(tuple))
    """Actions of the native computer tool that the model is not offered, such as ``drag_and_drop``."""
    recent_screenshots: int | None = field(default=3, validator=[must_be(int), at_least(0)])
    """The last turns with screenshots of the native computer tool whose screenshots the model still sees."""
    extra_body: dict[str, Any] = field(factory=dict, validator=[must_be(dict), _free], repr=False)
    """Further fields of the request, as the REST API names them; ``generationConfig`` is merged."""
    extra_headers: dict[str, str] | None = field(default=None, validator=must_be(dict), repr=False, metadata=SECRET)
    """Further headers of the request."""
    base_url: str | None = field(
        default=None, validator=[must_be(str), must_be_url], repr=lambda url: repr(public_url(url))
    )
    """Where the API is, without the version; by default ``GOOGLE_GEMINI_BASE_URL``, then Google's own."""
    api_version: str | None = field(default=None, validator=must_be(str))
    """By default ``v1beta``, which has all that the agent uses; ``v1beta1`` on Vertex AI. Also for your own client."""
    api_key: str | None = field(default=None, validator=must_be(str), repr=False, metadata=SECRET)
    """By default ``GEMINI_API_KEY``, then ``GOOGLE_API_KEY``."""
    validate_api_key: bool = field(default=True, validator=must_be(bool), metadata=OPERATIONAL)
    """Whether an agent without a key is refused when it is made; False is for endpoints that need none."""
    vertexai: bool = field(default=False, validator=must_be(bool))
    """Whether the model is asked on Vertex AI."""
    project: str | None = field(default=None, validator=must_be(str))
    """The Google Cloud project, on Vertex AI; by default ``GOOGLE_CLOUD_PROJECT``."""
    location: str | None = field(default=None, validator=must_be(str))
    """The region, on Vertex AI; by default ``GOOGLE_CLOUD_LOCATION``."""
    timeout: float | None = field(default=None, validator=[NUMBER, at_least(0)], metadata=OPERATIONAL)
    """Seconds for each request; by default 600, or what a client of your own has."""
    model_client: Client | None = field(default=None, repr=False, metadata=SECRET)
    """A `google.genai.Client` of your own; closing it stays with you."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read settings; the base URL may come from outside.

        Raises:
            ConfigError: A setting is unknown, missing, of the wrong type, or contradicts another one.
        """
        own = dict(options)
        if own.get("model_client") is not None:  # the SDK has no public name for a client's address
            http_options = getattr(getattr(own["model_client"], "_api_client", None), "_http_options", None)
            own["base_url"] = address_of(http_options) or own.get("base_url")
        config = super().from_options(own)
        if config.base_url is None and not config.vertexai:
            config = attrs.evolve(config, base_url=settings.lookup("GOOGLE_GEMINI_BASE_URL"))
        config.check_usable()
        return config

    @property
    def key(self) -> str | None:
        """The API key, given or found outside; a project of Vertex AI is not overruled by one that was found."""
        if self.api_key or self.cloud_project:
            return self.api_key
        return settings.gemini_api_key or settings.lookup("GOOGLE_API_KEY")

    @property
    def cloud_project(self) -> str | None:
        """The project on Vertex AI, given or found outside."""
        return (self.project or settings.lookup("GOOGLE_CLOUD_PROJECT")) if self.vertexai else None

    @property
    def cloud_location(self) -> str | None:
        """The region on Vertex AI, given or found outside."""
        return (self.location or settings.lookup("GOOGLE_CLOUD_LOCATION")) if self.vertexai else None

    @property
    def is_on_vertex(self) -> bool:
        """Whether the requests go to Vertex AI, whose API differs a little."""
        return self.vertexai if self.model_client is None else self.model_client.vertexai

    def check_usable(self) -> None:
        """Find out whether there is a model, and a way to ask it.

        Raises:
            ConfigError: There is not.
        """
        if not self.model:
            raise ConfigError("the Gemini agents need a model: give model='gemini-...'")
        if self.thinking_level is not None and self.thinking_budget is not None:
            raise ConfigError("give thinking_level (Gemini 3) or thinking_budget (Gemini 2.5), not both")
        if (self.project or self.location) and not self.vertexai:
            raise ConfigError("settings 'project' and 'location' are for Vertex AI; give vertexai=True too")
        if self.model_client is None and self.validate_api_key and not (self.key or self.cloud_project):
            raise ConfigError(
                "no key for the Gemini API: set GEMINI_API_KEY (or GOOGLE_API_KEY), or give api_key='...'; on Vertex "
                "AI give vertexai=True and project='...'; at an endpoint that needs no key, validate_api_key=False"
            )

    def described(self) -> dict[str, Any]:
        """Give the settings that decide how the agent behaves."""
        return {**super().described(), "base_url": public_url(self.base_url)}


@frozen(kw_only=True)
class GeminiCUAConfig(GeminiConfig):
    """Settings of `GeminiCUAAgent`: those of `GeminiConfig`, with another model."""

    model: str | None = field(default="gemini-2.5-computer-use-preview-10-2025", validator=must_be(str))
    """The model's name, as its endpoint knows it."""
