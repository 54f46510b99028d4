"""JSON data as values of a type and back. Strict: nothing is coerced, except that an int is a float."""

# ruff: noqa: ANN401  values of any type are the subject
from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import convert

from hud_core.environment.json_records import Record, is_tuple
from hud_core.environment.json_schema import Schema, at, branches, publish, resolve
from hud_core.environment.json_types import OneOf, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SCALARS = frozenset((str, int, bool, type(None)))
_WHERE = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_SHOWN = 80
"""How many characters of a wrong value a message shows."""


class Problem(NamedTuple):
    """What is wrong with data, and where: a path such as ``.items[0].name``, empty for the whole."""

    path: str
    text: str


class MisfitError(ValueError):
    """Data does not fit a type; `problems` are all that were found."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{path}: {text}" if path else text for path, text in problems))


class Codec:
    """Converts JSON data to one type.

    Args:
        annotation: A type that `prepare` has made ready.
        schema: Its published schema; made here by default.
        definitions: What the schema refers to.

    Raises:
        TypeError: The type has no JSON form.
    """

    __slots__ = ("_definitions", "_is_exact", "_is_open", "_is_scalar", "_schema", "type")

    def __init__(
        self, annotation: Any, schema: Schema | None = None, definitions: dict[str, Schema] | None = None
    ) -> None:
        if schema is None or definitions is None:
            (schema,), definitions = publish([annotation])
        self.type: Any = annotation
        self._schema = schema
        self._definitions = definitions
        kinds = set(_kinds(schema, definitions, set()))
        self._is_scalar = schema.get("type") in ("string", "integer", "boolean", "null") and not kinds
        self._is_exact = not kinds
        self._is_open = "open" in kinds

    def convert(self, value: Any) -> Any:
        """Convert JSON data; containers of the result are its own.

        Raises:
            MisfitError: The data is not of the type.
        """
        if self._is_open:  # msgspec hands untyped parts on as they are, and two rollouts would share them
            value = _copy(value)
        try:
            if self._is_scalar:  # options cost more than the rest
                return convert(value, self.type)
            converted = convert(value, self.type, dec_hook=_decode, str_keys=True)
        except (ValueError, TypeError) as error:
            raise MisfitError(self._explain(value, error)) from error
        if not self._is_exact and (problems := list(_unlisted(self._schema, self._definitions, value, ""))):
            raise MisfitError(problems)
        return converted

    def _explain(self, value: Any, error: Exception) -> list[Problem]:
        """Say what `msgspec` found, and what it would have found had it gone on."""
        text, path = _split(str(error))
        cause = error.__cause__
        if isinstance(cause, MisfitError):  # out of a mixed union or a stand-in, which have said it all
            return [Problem(path + inner, text) for inner, text in cause.problems]
        if cause is not None and hasattr(cause, "errors"):
            problems = [Problem(path + inner, text) for inner, text in _pydantic_problems(cause)]
        else:
            problems = [Problem(path, self._worded(text, value, path))]
        return [*problems, *_unlisted(self._schema, self._definitions, value, "")]

    def _worded(self, text: str, value: Any, path: str) -> str:
        """Put a message of `msgspec`'s as ours: what was expected, and the value that was given."""
        worded = _decapitalised(text)
        if "required field" in worded:
            return worded
        if worded.startswith("invalid enum value"):
            parts = at(self._schema, self._definitions, path)
            expected = ", ".join(repr(item) for part in parts for item in part.get("enum", ()))
            return f"expected one of {expected}, got {worded.removeprefix('invalid enum value ')}"
        if "[...]" in path:  # some value of a mapping; msgspec does not say which
            return worded
        separator = " " if ", got " in worded else ", got "
        return f"{worded}{separator}{_shown(_at(value, path))}"


# --- what msgspec leaves unchecked ------------------------------------------------------------------------------------


def _kinds(schema: Schema, definitions: dict[str, Schema], seen: set[str]) -> Iterator[str]:
    """Name what a schema holds that `msgspec` checks less strictly than the schema says, or hands on as it is."""
    if "$ref" in schema:
        if schema["$ref"] in seen:
            return
        seen.add(schema["$ref"])
        schema = resolve(schema, definitions)
    kind = schema.get("type")
    if kind is None and not schema.keys() & {"enum", "const", "anyOf", "oneOf"}:
        yield "open"
    if kind == "number" or "properties" in schema or "uniqueItems" in schema or schema.get("format") == "decimal":
        yield "checked"
    untyped = {"array": ("items", "prefixItems"), "object": ("properties", "additionalProperties")}.get(str(kind))
    if (untyped and not schema.keys() & set(untyped)) or schema.get("additionalProperties") is True:
        yield "open"
    for key in ("anyOf", "oneOf", "prefixItems"):
        for part in schema.get(key, ()):
            yield from _kinds(part, definitions, seen)
    for part in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(part, dict):
            yield from _kinds(part, definitions, seen)


def _unlisted(schema: Schema, definitions: dict[str, Schema], value: Any, path: str) -> Iterator[Problem]:
    """Find unknown fields, repeated items of sets, and numbers that are none."""
    if isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, f"{value} is no JSON number")
    fitting = [part for part in branches(schema, definitions) if _may_be(part, definitions, value)]
    found = [list(_in_branch(part, definitions, value, path)) for part in fitting]
    yield from min(found, key=len, default=[])


def _may_be(schema: Schema, definitions: dict[str, Schema], value: Any) -> bool:
    """Whether data can be meant as a branch of a union, going by what tells records apart."""
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if not isinstance(value, dict):
        return not isinstance(value, list | tuple) or schema.get("type") in ("array", None)
    if schema.get("type") not in ("object", None) or not value.keys() >= set(schema.get("required", ())):
        return False
    known = ((value[name], resolve(part, definitions)) for name, part in _properties(schema) if name in value)
    return all(item in part.get("enum", [part.get("const")]) for item, part in known if part.keys() & {"enum", "const"})


def _properties(schema: Schema) -> Iterable[tuple[str, Schema]]:
    properties: dict[str, Schema] = schema.get("properties", {})
    return properties.items()


def _in_branch(schema: Schema, definitions: dict[str, Schema], value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", {})
        for key, item in value.items():
            inner = properties.get(key, others)
            if inner is False:
                yield Problem(f"{path}.{key}", "unknown field")
            else:
                yield from _unlisted(inner if isinstance(inner, dict) else {}, definitions, item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        first = schema.get("prefixItems", ())
        rest = schema.get("items")
        for number, item in enumerate(value):
            inner = first[number] if number < len(first) else rest
            yield from _unlisted(inner if isinstance(inner, dict) else {}, definitions, item, f"{path}[{number}]")
        if schema.get("uniqueItems") and len({msgspec.json.encode(item, enc_hook=encode) for item in value}) < len(
            value
        ):
            yield Problem(path, "an item is there twice")
    elif schema.get("format") == "decimal" and isinstance(value, int | float):
        yield Problem(path, f"expected str, got {type(value).__name__} {value!r}")


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


# --- messages ---------------------------------------------------------------------------------------------------------


def _at(value: Any, path: str) -> Any:
    """Give the value at a path of `msgspec`'s."""
    for field, index in _STEP.findall(path):
        value = value[int(index)] if index else value[field]
    return value


def _split(message: str) -> tuple[str, str]:
    """Split a message of `msgspec`'s into what is wrong and the path."""
    match = _WHERE.search(message)
    if match is None:
        return message, ""
    return message[: match.start()] + (" as a key" if match["key"] else ""), match["path"]


def _pydantic_problems(error: Any) -> Iterator[Problem]:
    for item in error.errors(include_url=False):
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in item["loc"])
        yield Problem(path, f"{_decapitalised(item['msg'])}, got {_shown(item['input'])}")


def _decapitalised(text: str) -> str:
    return text[:1].lower() + text[1:].replace("`", "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


# --- what msgspec does not know ---------------------------------------------------------------------------------------


def _decode(annotation: Any, value: Any) -> Any:
    """Convert to a mixed union or a pydantic model."""
    if issubclass(annotation, OneOf):
        return _first_that_fits(annotation, value)
    if issubclass(annotation, Record):
        return _record(annotation, value)
    if isinstance(value, annotation):
        return value
    if hasattr(annotation, "model_validate_json"):  # strict JSON: "3" is no int, and text is a date where one is meant
        return annotation.model_validate_json(msgspec.json.encode(value, enc_hook=encode), strict=True)
    msg = f"Expected `{type_name(annotation)}`, got `{type(value).__name__}`"
    raise ValueError(msg)


def _first_that_fits(union: type[OneOf], value: Any) -> Any:
    if not union.codecs:
        union.codecs = tuple(Codec(member) for member in union.members)
    problems = []
    for codec in union.codecs:
        try:
            return codec.convert(value)
        except MisfitError as error:
            problems += [Problem(path, f"{text} (as {type_name(codec.type)})") for path, text in error.problems]
    raise MisfitError(problems)


def _record(record: type[Record], value: Any) -> Any:
    if type(value) is record.origin:
        return value
    given = _given(record, value)
    if not record.codecs:
        record.codecs = tuple(Codec(field.type) for field in record.fields)
    converted, problems = {}, []
    for number, (field, codec) in enumerate(zip(record.fields, record.codecs, strict=True)):
        step = f"[{number}]" if is_tuple(record) else f".{field.name}"
        if field.name in given:
            try:
                converted[field.argument] = codec.convert(given.pop(field.name))
            except MisfitError as error:
                problems += [Problem(step + path, text) for path, text in error.problems]
        elif field.is_required:
            problems.append(Problem("", f"object missing required field {field.name}"))
    problems += [Problem(f".{name}", "unknown field") for name in given]
    if problems:
        raise MisfitError(problems)
    return record.origin(**converted)


def _given(record: type[Record], value: Any) -> dict[str, Any]:
    """Give the fields by name."""
    wanted = (list, tuple) if is_tuple(record) else dict
    if not isinstance(value, wanted):
        kind = "array" if is_tuple(record) else "object"
        raise MisfitError([Problem("", f"expected {kind}, got {type(value).__name__} {_shown(value)}")])
    if isinstance(value, dict):
        return dict(value)
    if len(value) > len(record.fields):
        raise MisfitError([Problem("", f"expected array of length {len(record.fields)} at most, got {len(value)}")])
    return {field.name: item for field, item in zip(record.fields, value, strict=False)}


def encode(value: Any) -> Any:
    """Give the JSON form of what `msgspec` does not know: pydantic models, paths, numpy's numbers. Its ``enc_hook``."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)


def to_json_data(value: Any) -> Any:
    """Turn dataclasses, attrs and pydantic objects, enums, tuples and the like into JSON data, all of it new.

    Raises:
        TypeError: The value has no JSON form.
    """
    if type(value) in _SCALARS:
        return value
    return _copy(msgspec.to_builtins(value, enc_hook=encode, str_keys=True))
