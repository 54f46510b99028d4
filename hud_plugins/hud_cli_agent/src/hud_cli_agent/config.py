"""The agent's settings: a preset, and what is to be otherwise."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from hud_cli_agent.recipes import PRESETS, Command, Recipe
from hud_cli_agent.templates import check
from hud_core.agents.config import OPERATIONAL, SECRET, BaseAgentConfig, must_be
from hud_core.errors import ConfigError, closest

ELSEWHERE = ("response_tool_name", "auto_respond", "max_retries", "overload_patience")
"""Settings of agents that ask a model themselves."""


def _command(value: object) -> object:
    """Read a command line as words; words that are one text are split as a shell would."""
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list | tuple):
        return tuple(tuple(part) if isinstance(part, list | tuple) else part for part in value)
    return value


def _tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _words(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """See that a command line is one, and not empty."""
    must_be(tuple)(None, attribute, value)
    if value is None:
        return
    parts = [word for part in value for word in (part if isinstance(part, tuple) else (part,))]  # type: ignore[attr-defined]
    if not parts or not all(isinstance(word, str) for word in parts):
        raise ConfigError(f"setting {attribute.name!r} must be words: a text, or a list of texts; it may not be empty")


def _answer(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    must_be(str)(None, attribute, value)
    if isinstance(value, str) and value not in ("stdout", "file") and not (value.startswith("json:") and value[5:]):
        raise ConfigError(f"setting 'answer' must be 'stdout', 'file' or 'json:PATH', got {value!r}")


def _positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    must_be(int, float)(None, attribute, value)
    if isinstance(value, int | float) and not value > 0:
        raise ConfigError(f"setting {attribute.name!r} must be more than 0, got {value!r}")


@frozen(kw_only=True)
class CliConfig(BaseAgentConfig):
    """Settings of the agent ``cli``. Those that are `Recipe` fields, too, come before the preset's."""

    preset: str | None = field(default=None, validator=must_be(str))
    """A program of `PRESETS`."""
    command: Command | None = field(default=None, converter=_command, validator=_words)
    """The program and its arguments: a text, or a list of words in which a list is left out where it has no value."""
    answer: str | None = field(default=None, validator=_answer)
    """Where the answer is: ``stdout``, ``file`` or ``json:PATH``."""
    mcp_config: Mapping[str, Any] | None = field(default=None, validator=must_be(dict))
    """The content of the file ``{mcp_config}``."""
    mcp_config_file: str | None = field(default=None, validator=must_be(str))
    """Where that file is, for a program that looks for it by itself."""
    env: tuple[str, ...] | None = field(default=None, converter=_tuple, validator=must_be(tuple))
    """Names of environment variables that the program gets beside those of the preset; they have to be set."""
    variables: Mapping[str, str] | None = field(default=None, repr=False, validator=must_be(dict), metadata=SECRET)
    """Environment variables that the program gets, with their values."""
    step_limit_codes: tuple[int, ...] | None = field(default=None, converter=_tuple, validator=must_be(tuple))
    """Exit codes that say that `max_steps` were not enough."""
    workdir: str | None = field(default=None, validator=must_be(str))
    """Where the program runs; by default a new folder for each rollout, which is deleted."""
    timeout: float | None = field(default=None, validator=_positive, metadata=OPERATIONAL)
    """Seconds after which the program is ended, and the rollout graded without an answer."""
    max_output: int = field(default=10_000_000, validator=_positive, metadata=OPERATIONAL)
    """How many bytes the program may print; one that prints more is ended, and has failed."""

    def __attrs_post_init__(self) -> None:
        check(self.recipe)

    @classmethod
    def names(cls) -> list[str]:
        """Name the settings that there are."""
        return [name for name in super().names() if name not in ELSEWHERE]

    @property
    def recipe(self) -> Recipe:
        """The preset's recipe with what the settings say otherwise.

        Raises:
            ConfigError: There is neither a preset nor a command, or no such preset.
        """
        if self.preset is not None and self.preset not in PRESETS:
            known = ", ".join(PRESETS)
            raise ConfigError(f"there is no preset {self.preset!r}{closest(self.preset, PRESETS)}; there are {known}")
        if self.preset is None and self.command is None:
            raise ConfigError(f"give a command to run, or a preset: {', '.join(PRESETS)}")
        given = {
            name: value
            for name in ("command", "answer", "mcp_config", "mcp_config_file", "step_limit_codes")
            if (value := getattr(self, name)) is not None
        }
        recipe = PRESETS[self.preset] if self.preset is not None else Recipe(command=given["command"])
        return attrs.evolve(recipe, **given)
