"""The settings of an agent: checked when they are given, all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from attrs import Attribute, field, frozen

from hud_core.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

ALIASES = {"checkpoint_name": "model", "append_setup_tool": "append_setup_output"}
"""Other names of settings, which older code uses."""

SECRET = {"secret": True}
"""Metadata of a field that is never shown, nor part of a fingerprint: keys, clients, what may hold them."""

OPERATIONAL = {"operational": True}
"""Metadata of a field that does not change what the agent answers, such as a timeout: not part of a fingerprint."""


def must_be(*types: type) -> Callable[[object, Attribute[Any], object], None]:
    """Make the validator of a setting that is None or of these types. It never shows a value: it may be a secret."""
    expected = " or ".join("list" if kind is tuple else kind.__name__ for kind in types)

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        is_stray_bool = isinstance(value, bool) and bool not in types
        if value is not None and (is_stray_bool or not isinstance(value, types)):
            raise ConfigError(f"setting {attribute.name!r} must be {expected}, got {type(value).__name__}")

    return check


def at_least(least: float) -> Callable[[object, Attribute[Any], float | None], None]:
    """Make the validator of a number that must not be less than `least`."""

    def check(_: object, attribute: Attribute[Any], value: float | None) -> None:
        if value is not None and not value >= least:
            raise ConfigError(f"setting {attribute.name!r} must be at least {least:g}, got {value}")

    return check


def _patterns(value: str | Sequence[str] | None) -> object:
    """Read one pattern as a list of one; leave what is no list to the validator."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


@frozen(kw_only=True)
class BaseAgentConfig:
    """Settings that every agent on a model API has. Vendors add theirs in a subclass."""

    model: str | None = field(default=None, validator=must_be(str))
    """The model's name, as its endpoint knows it."""
    system_prompt: str | None = field(default=None, validator=must_be(str))
    """What the model is told first; a task's own system prompt follows it."""
    allowed_tools: tuple[str, ...] | None = field(default=None, converter=_patterns, validator=must_be(tuple))
    """`fnmatch` patterns; tools that match none are hidden from the model."""
    disallowed_tools: tuple[str, ...] | None = field(default=None, converter=_patterns, validator=must_be(tuple))
    """`fnmatch` patterns; tools that match one are hidden from the model."""
    append_setup_output: bool = field(default=False, validator=must_be(bool))
    """Whether the prompt goes on with what the tools gave that the scenario called before it."""
    initial_screenshot: bool = field(default=False, validator=must_be(bool))
    """Whether the model sees the screen before its first turn; the environment needs a computer tool."""
    response_tool_name: str | None = field(default=None, validator=must_be(str))
    """A tool whose call is the answer: its argument ``response``, or else the text of its result."""
    auto_respond: bool = field(default=False, validator=must_be(bool))
    """Whether the model itself is asked, when it ends a turn without a tool call, if that was its answer or a pause."""
    max_retries: int = field(default=5, validator=[must_be(int), at_least(0)], metadata=OPERATIONAL)
    """How often one model call is tried again: on lost connections, 5xx and the like, with backoff."""
    overload_patience: float = field(default=600.0, validator=[must_be(int, float), at_least(0)], metadata=OPERATIONAL)
    """Seconds that one model call waits for an endpoint that is overloaded (429, 503, 529), beside `max_retries`."""

    @classmethod
    def names(cls) -> list[str]:
        """Name the settings that there are."""
        return [attribute.name for attribute in attrs.fields(cls)]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Read settings, given by name.

        Raises:
            ConfigError: A setting is unknown, given twice or of the wrong type.
        """
        named = _without_aliases(options)
        known = cls.names()
        if unknown := [name for name in named if name not in known]:
            problems = "; ".join(f"unknown setting {name!r}{closest(name, known)}" for name in unknown)
            raise ConfigError(f"{problems} (there are {', '.join(known)})")
        return cls(**named)

    def described(self) -> dict[str, Any]:
        """Give the settings that decide how the agent behaves, without secrets, for its fingerprint."""
        return attrs.asdict(self, filter=_is_telling)


def _without_aliases(options: Mapping[str, Any]) -> dict[str, Any]:
    for alias, name in ALIASES.items():
        if alias in options and name in options:
            raise ConfigError(f"settings {alias!r} and {name!r} are the same one; give it once")
    return {ALIASES.get(name, name): value for name, value in options.items()}


def _is_telling(attribute: Attribute[Any], value: object) -> bool:
    return value is not None and attribute.metadata not in (SECRET, OPERATIONAL)
