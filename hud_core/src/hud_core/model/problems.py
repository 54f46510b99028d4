"""Says everything that is wrong with a task row: ``expected int, got str 'ten' @ tasks[1].agent_config.max_steps``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_origin

import attrs
from cattrs import (
    AttributeValidationNote,
    BaseValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.json import make_converter

from hud_core.errors import closest
from hud_core.model.task import MAX_SLUG_LENGTH, EnvRef, Task, TaskAgentConfig
from hud_core.model.tools import ToolCall

Hook = Callable[[Any, Any], Any]

LONGEST_VALUE = 60
"""Characters of a wrong value that a message shows."""
_IGNORED_IN_CALLS = {"meta", "task"}
"""What the reference SDK writes beside each call."""


class MisfitError(ValueError):
    """A value of another kind than its place wants."""

    def __init__(self, expected: str, value: object) -> None:
        shown = repr(value)
        if len(shown) > LONGEST_VALUE:
            shown = shown[: LONGEST_VALUE - 3] + "..."
        got = "null" if value is None else f"{type(value).__name__} {shown}"
        super().__init__(f"expected {expected}, got {got}")


def problems_of(data: object, where: str) -> list[str]:
    """Say every problem of a row, one line each; none when it is right."""
    if isinstance(data, Mapping) and data.get("prompt") and "mcp_config" in data:
        return [f"a LegacyTask (with prompt and mcp_config), which hud-huggingface reads; pip install it @ {where}"]
    try:
        _task_converter().structure(data, Task)
    except (BaseValidationError, ForbiddenExtraKeysError, ValueError) as error:
        return list(lines_of(error, where))
    return []


def lines_of(error: Exception, path: str) -> Iterator[str]:
    """Say what a strict converter objects to, one line for each mistake, with its path.

    Args:
        error: What ``converter.structure(...)`` raised.
        path: What to call the data as a whole.
    """
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from lines_of(inner, path + _step(inner))
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [attribute.name for attribute in attrs.fields(error.cl)]
        for name in sorted(error.extra_fields, key=str):
            yield f"unknown field {name!r} @ {path}{closest(str(name), known)}"
    elif isinstance(error, KeyError):
        yield f"required field {error.args[0]!r} is missing @ {path}"
    else:
        yield f"{error} @ {path}"


def _step(error: Exception) -> str:
    """Say where below its parent an error is, as cattrs noted it."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, IterableValidationNote):
            return f"[{note.index!r}]"
    return ""


# --- the strict converter ---------------------------------------------------------------------------------------------


def converter() -> Converter:
    """Make a strict cattrs converter: no value is coerced, no field is dropped.

    `lines_of` says what it objects to.
    """
    strict = make_converter(forbid_extra_keys=True)
    for kind in (str, int, bool):
        strict.register_structure_hook(kind, _exactly(kind))
    strict.register_structure_hook(float, _a_float)
    strict.register_structure_hook_factory(_is(list), lambda kind: _inside(list, kind, list_structure_factory, strict))
    strict.register_structure_hook_factory(
        _is(dict), lambda kind: _inside(dict, kind, mapping_structure_factory, strict)
    )
    strict.register_structure_hook_factory(attrs.has, lambda kind: _record(kind, strict))
    return strict


def _exactly(kind: type) -> Hook:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:  # a bool is no int here
            raise MisfitError(kind.__name__, value)
        return value

    return check


def _a_float(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise MisfitError("float", value)
    return float(value)


def _is(container: type) -> Callable[[Any], bool]:
    return lambda kind: kind is container or get_origin(kind) is container


def _inside(container: type, kind: Any, factory: Callable[[Any, Converter], Hook], strict: Converter) -> Hook:
    """Check a list or dict before its items; without this, a str passes for a list of its characters."""
    items = factory(kind, strict)
    noun = "a list" if container is list else "an object"

    def check(value: Any, wanted: Any) -> Any:
        if not isinstance(value, container):
            raise MisfitError(noun, value)
        return items(value, wanted)

    return check


def _record(kind: Any, strict: Converter, **overrides: Any) -> Hook:
    return _of_object(make_dict_structure_fn(kind, strict, _cattrs_forbid_extra_keys=True, **overrides))


def _of_object(structure: Callable[..., Any]) -> Hook:
    def check(value: Any, wanted: Any) -> Any:
        if not isinstance(value, Mapping):
            raise MisfitError("an object", value)
        return structure(value, wanted)

    return check


# --- what tasks add to it ---------------------------------------------------------------------------------------------


@functools.cache
def _task_converter() -> Converter:
    """Make the converter for tasks: compiled once, never changed."""
    strict = converter()
    config = _record(TaskAgentConfig, strict, max_steps=override(struct_hook=_count))
    call, reference = _record(ToolCall, strict), _record(EnvRef, strict)
    strict.register_structure_hook(TaskAgentConfig, _without_nulls(config, TaskAgentConfig))
    strict.register_structure_hook(ToolCall, _without_nulls(call, ToolCall, _IGNORED_IN_CALLS))
    strict.register_structure_hook(EnvRef, _without_nulls(reference, EnvRef))
    environment = _environment(strict)
    row = _record(Task, strict, env=override(struct_hook=environment), slug=override(struct_hook=_slug))
    strict.register_structure_hook(Task, _without_nulls(row, Task))
    return strict


def _without_nulls(structure: Hook, kind: Any, ignored: frozenset[str] | set[str] = frozenset()) -> Hook:
    """Take a known field that is null for one that is absent."""
    known = {attribute.name for attribute in attrs.fields(kind)}

    def check(value: Any, wanted: Any) -> Any:
        if isinstance(value, Mapping):
            value = {k: v for k, v in value.items() if not (v is None and k in known) and k not in ignored}
        return structure(value, wanted)

    return check


def _environment(strict: Converter) -> Hook:
    def check(value: Any, _: Any) -> EnvRef:
        if isinstance(value, str):
            return EnvRef(value)
        if not isinstance(value, Mapping):
            raise MisfitError("a name or an object", value)
        return strict.structure(value, EnvRef)

    return check


def _slug(value: Any, _: Any) -> str:
    if type(value) is not str:
        raise MisfitError("str", value)
    if not value or len(value) > MAX_SLUG_LENGTH or value != value.strip():
        raise MisfitError(f"1 to {MAX_SLUG_LENGTH} characters without space around them", value)
    return value


def _count(value: Any, _: Any) -> int:
    if type(value) is not int:
        raise MisfitError("int", value)
    if value < 1:
        raise MisfitError("1 or more", value)
    return value
