"""Finds secrets in rows before they are published."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_core.settings import is_secret, read_env_file
from hud_huggingface.forms import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHORTEST = 8
"""Characters of a variable's value that is looked for; shorter ones stand in texts by chance."""


def find_secrets(row: Mapping[str, Any], where: str) -> Iterator[str]:
    """Say where a row holds the value of a variable that is called like a secret; the value itself is never told."""
    secrets = _secrets()
    for text, path in _texts(row, where):
        for value, name in secrets.items():
            if value in text:
                yield f"it holds the value of {name}; write ${{{name}}} instead @ {path}"


def literal_credentials(row: Mapping[str, Any], where: str) -> Iterator[str]:
    """Say which headers and variables of a row's servers are called like secrets and hold no template."""
    for text, path in _texts(from_json(row.get("mcp_config")), f"{where}.mcp_config"):
        if is_secret(path.rpartition(".")[2]) and text and "$" not in text:
            yield path


def _secrets() -> dict[str, str]:
    """Give the variables that are called like secrets, by value; files that settings come from count."""
    found = {**read_env_file(Path.home() / ".hud" / ".env"), **read_env_file(Path(".env")), **os.environ}
    return {value: name for name, value in found.items() if is_secret(name) and len(value) >= SHORTEST}


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield value, path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key, path
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}[{number}]")
