"""What a module's globals hold that outlives another import: plain data."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

_PLAIN = (type(None), bool, int, float, str, bytes)


def plain_globals(module: ModuleType) -> dict[str, Any]:
    """Copy a module's globals that are plain data."""
    return {name: copy.deepcopy(value) for name, value in vars(module).items() if _is_state(name, value)}


def carry(old: ModuleType, first: dict[str, Any], new: ModuleType, now_first: dict[str, Any]) -> None:
    """Keep what a program has made of its globals, unless the file now begins with another value.

    Args:
        old: The module that was imported before.
        first: Its plain data right after its import.
        new: The module that takes its place.
        now_first: The new one's plain data right after its import.
    """
    for name, value in now_first.items():
        present = vars(old).get(name)
        is_same = name in first and type(first[name]) is type(value) and first[name] == value
        if is_same and _is_state(name, present):
            setattr(new, name, present)


def _is_state(name: str, value: object) -> bool:
    return not name.startswith("__") and _is_plain(value)


def _is_plain(value: object, depth: int = 8) -> bool:
    if type(value) in _PLAIN:
        return True
    if type(value) is dict:
        return depth > 0 and all(_is_plain(item, depth - 1) for pair in value.items() for item in pair)
    return type(value) in (list, tuple, set) and depth > 0 and all(_is_plain(item, depth - 1) for item in value)  # type: ignore[attr-defined]
