"""What rows write beside the documented fields, put in its place; each correction is said in one line."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from hud_core.errors import closest
from hud_huggingface import forms

SETTINGS = {
    "system_prompt": "system_prompt",
    "agent_tools": "allowed_tools",
    "allowed_tools": "allowed_tools",
    "disallowed_tools": "disallowed_tools",
    "append_setup_output": "append_setup_output",
    "append_setup_tool": "append_setup_output",
    "initial_screenshot": "initial_screenshot",
}
"""Options of ``agent_config``, by the names that rows give them at top level."""
_SILENT = frozenset({"slug"})
"""Fields beside the documented ones that have a meaning here."""


def straightened(row: Mapping[str, Any], fields: AbstractSet[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give a row with everything in its documented place.

    Args:
        row: The row, which stays as it is.
        fields: The documented fields.

    Returns:
        The row, and what was corrected. The lines are the same for all rows with the same mistake.
    """
    said: list[str] = []
    straight = dict(row)
    for name in straight.keys() - fields and [name for name in row if name not in fields and name not in _SILENT]:
        _stray(straight, name, fields, said)
    number = straight.get("id")
    if type(number) is int:
        straight["id"] = str(number)
        said.append("'id' is text, and was written as a number")
    elif number == "":
        straight["id"] = None
    if straight.get("agent_config"):
        _rename(straight, said)
    if straight.get("mcp_config"):
        _respell(straight, said)
    return straight, tuple(said)


def straight_new(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Give a row of the new form with its environment in ``env``, and what was corrected."""
    if "environment" not in row or "env" in row:
        return row, ()
    straight = {"env" if name == "environment" else name: value for name, value in row.items()}
    return straight, ("'environment' is 'env'",)


def _stray(row: dict[str, Any], name: str, fields: AbstractSet[str], said: list[str]) -> None:
    """Deal with a field that is not documented."""
    if name not in SETTINGS:
        said.append(f"unknown field {name!r} is kept and has no effect{closest(name, fields)}")
        return
    value, option = row.pop(name), SETTINGS[name]
    config = forms.settings(row.get("agent_config"))
    if value is None or value == "":
        return
    if not isinstance(config, Mapping | None) or (config or {}).get(option, value) != value:
        said.append(f"{name!r} at top level has no effect beside another one in agent_config")
        return
    row["agent_config"] = {**(config or {}), option: forms.from_json(value) if option != "system_prompt" else value}
    said.append(f"{name!r} at top level is agent_config's {option!r}")


def _rename(row: dict[str, Any], said: list[str]) -> None:
    config = forms.settings(row["agent_config"])
    if isinstance(config, Mapping) and "append_setup_tool" in config:
        renamed = dict(config)
        value = renamed.pop("append_setup_tool")
        row["agent_config"] = {"append_setup_output": value, **renamed}
        said.append("'append_setup_tool' is agent_config's 'append_setup_output'")


def _respell(row: dict[str, Any], said: list[str]) -> None:
    """Read ``arguments`` beside a command as ``args``."""
    config = forms.from_json(row["mcp_config"])
    if not isinstance(config, dict):
        return
    for name, server in config.items():
        if isinstance(server, dict) and "arguments" in server and "command" in server and "args" not in server:
            config = {**config, name: {"args" if key == "arguments" else key: item for key, item in server.items()}}
            said.append("'arguments' beside a command is 'args'")
            row["mcp_config"] = config
