"""The config files of ``hud eval``: ``.hud_eval.toml``, and the same as JSON (``--from-json``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from hud.cli.evaluate.values import parse_list, resolve
from hud_core.errors import ConfigError, closest

NAME = ".hud_eval.toml"
SECTIONS = ("eval", "agent")
KEYS: dict[str, str] = {
    "source": "text",
    "split": "text",
    "agent": "text",
    "model": "text",
    "task_ids": "list",
    "all": "bool",
    "full": "bool",
    "max_concurrent": "int",
    "max_steps": "int",
    "group_size": "int",
    "timeout": "number",
    "max_cost": "number",
    "max_tokens": "int",
    "max_time": "number",
    "rollout_max_cost": "number",
    "rollout_max_tokens": "int",
    "rollout_max_time": "number",
    "prices": "text",
    "cache": "bool",
    "isolate": "bool",
    "seed": "int",
    "name": "text",
    "variants": "table",
    "min_coverage": "number",
    "quiet": "bool",
    "verbose": "bool",
    "very_verbose": "bool",
    "allowed_tools": "list",
    "disallowed_tools": "list",
}
"""What ``[eval]`` may hold; the two lists of tools stand in ``[agent]``."""
_TOOLS = ("allowed_tools", "disallowed_tools")
_ELSEWHERE = {
    "remote": "runs on a platform need the plugin hud-platform",
    "gateway": "models behind a gateway need the plugin hud-platform",
    "taskset": "tasksets of a platform need the plugin hud-platform",
    "auto_respond": "a rollout ends with the agent's first answer",
}
"""Keys of the reference that have no meaning here; harmless while they are off."""
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "text": ("text", (str,)),
    "bool": ("true or false", (bool,)),
    "int": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "table": ("a table", (dict,)),
}


class Found(NamedTuple):
    """What a config file says: settings by name, and the sections of agents."""

    values: dict[str, Any]
    sections: dict[str, dict[str, Any]]


def unknown(what: str, name: str, known: list[str]) -> ConfigError:
    """Make the error for a name that a config file may not hold."""
    return ConfigError(f"unknown {what} {name!r}{closest(name, known)}; there are {', '.join(known)}")


def read_toml() -> Found:
    """Read ``.hud_eval.toml`` of the current folder, if there is one.

    Raises:
        ConfigError: It is damaged, or holds something unknown or of the wrong type.
    """
    path = Path(NAME)
    if not path.is_file():
        return Found({}, {})
    import tomllib

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{NAME} is no valid TOML: {error}") from error
    with _named(NAME):
        stray = {key for key, value in data.items() if not isinstance(value, dict)}
        if stray:
            raise ConfigError(f"{min(stray)!r} stands outside a section; put it below [eval]")
        values = _checked(data.pop("eval", {}), [key for key in KEYS if key not in _TOOLS], "eval")
        values |= _checked(data.pop("agent", {}), list(_TOOLS), "agent")
        return Found(values, data)


def read_json(file: str) -> Found:
    """Read the same settings from JSON, such as the ``hud_eval_config`` of a job.

    Raises:
        ConfigError: It cannot be read, or holds something unknown or of the wrong type.
    """
    try:
        data = json.loads(Path(file).read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"no such file: {file}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} is no readable JSON: {error}") from error
    with _named(file):
        if not isinstance(data, dict):
            raise ConfigError(f"expected an object, got {type(data).__name__}")
        sections = data.pop("agent_config", None) or {}
        if "agent_type" in data:
            data["agent"] = data.pop("agent_type")
        if not isinstance(sections, dict) or not all(isinstance(section, dict) for section in sections.values()):
            raise ConfigError("agent_config must hold one object for each agent")
        given = {key: value for key, value in data.items() if value is not None}
        return Found(_checked(given, list(KEYS), ""), sections)


class _named:  # noqa: N801  used as a function
    """Say in which file a mistake is."""

    def __init__(self, file: str) -> None:
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigError):
            raise ConfigError(f"{self._file}: {error}") from error


def _checked(section: dict[str, Any], known: list[str], name: str) -> dict[str, Any]:
    values = {}
    for key, value in section.items():
        where = f"{name}.{key}" if name else key
        if key in _ELSEWHERE:
            if value:
                raise ConfigError(f"{where} = {value!r} has no effect here: {_ELSEWHERE[key]}")
        elif key not in known:
            raise unknown("key", where, [f"{name}.{other}" if name else other for other in known])
        else:
            values[key] = _typed(resolve(value, where), KEYS[key], where)
    return values


def _typed(value: object, kind: str, where: str) -> object:
    if kind == "list":
        return _list(value, where)
    wanted, types = _KINDS[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ConfigError(f"{where} must be {wanted}, got {value!r}")
    return value


def _list(value: object, where: str) -> list[str]:
    if isinstance(value, str):
        return parse_list(value)
    if isinstance(value, list) and all(isinstance(item, str | int) and not isinstance(item, bool) for item in value):
        return [str(item) for item in value]
    raise ConfigError(f"{where} must be a list of texts, got {value!r}")
