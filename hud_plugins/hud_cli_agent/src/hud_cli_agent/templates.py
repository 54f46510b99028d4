"""Placeholders in a recipe's texts, and their values in one rollout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hud_core.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hud_cli_agent.recipes import Command, Recipe

NAMES = (
    "prompt", "prompt_file", "answer_file", "mcp_config", "mcp_url", "workdir", "home", "model", "max_steps",
)  # fmt: skip
TOKEN = "mcp_token"  # noqa: S105  a placeholder's name
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}")


def fill(text: str, values: Mapping[str, object]) -> str:
    """Fill in the placeholders; one without a value stays empty."""

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        found = values[match[1]]
        return "" if found is None else str(found)

    return _PLACEHOLDER.sub(value, text)


def fill_command(command: Command, values: Mapping[str, object]) -> list[str]:
    """Fill in a command line; groups of words with a placeholder that has no value are left out."""
    words: list[str] = []
    for part in command:
        group = (part,) if isinstance(part, str) else part
        if isinstance(part, str) or all(values[name] is not None for word in part for name in placeholders(word)):
            words += [fill(word, values) for word in group]
    return words


def fill_data(data: Any, values: Mapping[str, object]) -> Any:  # noqa: ANN401  JSON data
    """Fill in the texts of JSON data, at every depth; a text that is one placeholder becomes its value."""
    if isinstance(data, Mapping):
        return {key: fill_data(value, values) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [fill_data(value, values) for value in data]
    if not isinstance(data, str):
        return data
    alone = re.fullmatch(r"\{([a-z_]+)\}", data)
    return values[alone[1]] if alone else fill(data, values)


def placeholders(text: str) -> list[str]:
    """Name the placeholders in a text."""
    return [match[1] for match in _PLACEHOLDER.finditer(text) if match[1] is not None]


def mentions(command: Command, *names: str) -> bool:
    """Whether a command line has one of these placeholders."""
    return any(name in names for word in _words(command) for name in placeholders(word))


def check(recipe: Recipe) -> None:
    """See that every placeholder exists.

    Raises:
        ConfigError: One does not, or it would put the token into a command line.
    """
    for word in _words(recipe.command):
        _check("command", word, NAMES)
    for value in recipe.variables.values():
        _check("variables", value, NAMES)
    _check("mcp_config_file", recipe.mcp_config_file or "", ("home", "workdir"))
    for text in _texts(recipe.mcp_config):
        _check("mcp_config", text, (*NAMES, TOKEN))


def _check(where: str, text: str, known: Iterable[str]) -> None:
    for name in placeholders(text):
        if name == TOKEN and name not in known:
            raise ConfigError(f"{where}: {{{TOKEN}}} would be shown to every process; read it from HUD_TOOLS_TOKEN")
        if name not in known:
            there = ", ".join(f"{{{placeholder}}}" for placeholder in known)
            raise ConfigError(f"{where}: unknown placeholder {{{name}}}{closest(name, known)}; there are {there}")


def _words(command: Command) -> Iterator[str]:
    for part in command:
        yield from (part,) if isinstance(part, str) else part


def _texts(data: Any) -> Iterator[str]:  # noqa: ANN401  JSON data
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value)
