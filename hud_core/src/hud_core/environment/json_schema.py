"""JSON Schema of prepared types: one set of definitions, objects that take no unknown fields."""

# ruff: noqa: ANN401  annotations are of any type
from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.environment.json_records import NO_DEFAULT, Field, Record, is_tuple
from hud_core.environment.json_types import members_of, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Schema = dict[str, Any]

REFERENCE = "#/$defs/"
_INSIDE_MAPS = ("properties", "patternProperties", "$defs")
_INSIDE_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_INSIDE = ("items", "additionalProperties", "propertyNames", "contains", "not")
_STEP = re.compile(r"\.(?P<field>[^.\[]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")


def publish(types: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """Make the schemas of types, and the definitions that they refer to.

    Raises:
        TypeError: A type has no JSON form.
    """
    try:
        schemas, shared = msgspec.json.schema_components(types, schema_hook=_custom, ref_template=REFERENCE + "{name}")
    except KeyError as error:  # how msgspec takes it
        msg = f"two different types have one name, {type_name(error.args[0])}"
        raise TypeError(msg) from error
    definitions: dict[str, Schema] = {}
    for name, definition in shared.items():
        definitions[name] = _lift(definition, definitions, shared)
    return [_lift(schema, definitions, shared) for schema in schemas], definitions


def at(schema: Schema, definitions: dict[str, Schema], path: str) -> Iterator[Schema]:
    """Give the parts of a schema that are about one place of the data, such as ``.items[0].name``."""
    step = _STEP.match(path)
    for branch in branches(schema, definitions):
        if step is None:
            yield branch
        else:
            yield from at(_inside(branch, step), definitions, path[step.end() :])


def branches(schema: Schema, definitions: dict[str, Schema]) -> Iterator[Schema]:
    """Follow references, and give each member of a union."""
    schema = resolve(schema, definitions)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if not alternatives:
        yield schema
    for alternative in alternatives or ():
        yield from branches(alternative, definitions)


def resolve(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Follow a reference."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix(REFERENCE)]
    return schema


def _inside(schema: Schema, step: re.Match[str]) -> Schema:
    if step["field"]:
        found = schema.get("properties", {}).get(step["field"], {})
    elif step["index"] and int(step["index"]) < len(schema.get("prefixItems", ())):
        found = schema["prefixItems"][int(step["index"])]
    else:
        found = schema.get("items") or schema.get("additionalProperties")
    return found if isinstance(found, dict) else {}


def _custom(annotation: Any) -> Schema:
    """Give the schema of what `msgspec` does not know. Its definitions are still inside; `_lift` takes them out."""
    if members := members_of(annotation):
        return {"anyOf": [_alone(member) for member in members]}
    if issubclass(annotation, Record):
        return {"$ref": REFERENCE + annotation.__name__, "$defs": {annotation.__name__: _record(annotation)}}
    if hasattr(annotation, "model_json_schema"):
        return dict(annotation.model_json_schema())
    msg = f"{type_name(annotation)} has no JSON form"
    raise TypeError(msg)


def _alone(annotation: Any) -> Schema:
    return msgspec.json.schema(annotation, schema_hook=_custom)


def _record(record: type[Record]) -> Schema:
    properties = {field.name: _field(field) for field in record.fields}
    required = [field.name for field in record.fields if field.is_required]
    if not is_tuple(record):
        return {"title": record.__name__, "type": "object", "properties": properties, "required": required}
    limits = {"minItems": len(required), "maxItems": len(properties)}
    return {"title": record.__name__, "type": "array", "prefixItems": list(properties.values()), **limits}


def _field(field: Field) -> Schema:
    schema = _alone(field.type)
    if field.default is not NO_DEFAULT:
        with suppress(TypeError):  # such a default applies all the same, unseen
            schema["default"] = msgspec.to_builtins(field.default, str_keys=True)
    return schema


def _lift(schema: Schema, definitions: dict[str, Schema], taken: dict[str, Schema]) -> Schema:
    """Close a schema's objects, and move the definitions inside it up to `definitions`, under free names."""
    inner = schema.get("$defs", {})
    names = {name: _free_name(name, definition, definitions, taken) for name, definition in inner.items()}
    for name, definition in inner.items():
        if names[name] not in definitions:
            definitions[names[name]] = {}  # holds the place while a definition that names itself is lifted
            definitions[names[name]] = _lift(_renamed(definition, names), definitions, taken)
    rest = _renamed({key: value for key, value in schema.items() if key != "$defs"}, names)
    return _closed(_mapped(rest, lambda part: _lift(part, definitions, taken)))


def _free_name(name: str, definition: Schema, definitions: dict[str, Schema], taken: dict[str, Schema]) -> str:
    """Find a name that no other definition has; the same definition twice is one."""
    wanted, free, number = _closed_deep(definition), name, 1
    while wanted != definitions.get(free, wanted) or (free in taken and wanted != _closed_deep(taken[free])):
        number += 1
        free = f"{name}_{number}"
    return free


def _renamed(schema: Schema, names: dict[str, str]) -> Schema:
    """Rename references, but not those of a part that has definitions of its own."""
    if all(old == new for old, new in names.items()):
        return schema
    if "$ref" in schema:
        old = schema["$ref"].removeprefix(REFERENCE)
        schema = {**schema, "$ref": REFERENCE + names.get(old, old)}
    return _mapped(schema, lambda part: part if "$defs" in part else _renamed(part, names))


def _closed(schema: Schema) -> Schema:
    """Say that an object takes no other fields; leave out what means nothing in JSON Schema."""
    closed = {key: value for key, value in schema.items() if key != "discriminator" and (key != "required" or value)}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def _closed_deep(schema: Schema) -> Schema:
    return _closed(_mapped(schema, _closed_deep))


def _mapped(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Change every schema directly inside a schema; values such as a ``default`` are no schemas."""
    mapped = dict(schema)
    for key in _INSIDE_MAPS:
        if key in mapped:
            mapped[key] = {name: change(part) for name, part in mapped[key].items()}
    for key in _INSIDE_LISTS:
        if key in mapped:
            mapped[key] = [change(part) for part in mapped[key]]
    for key in _INSIDE:
        if isinstance(mapped.get(key), dict):
            mapped[key] = change(mapped[key])
    return mapped
