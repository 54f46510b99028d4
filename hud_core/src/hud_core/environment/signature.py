"""The one strict argument codec: a function's parameters as JSON Schema, and JSON data as its arguments.

`msgspec` does both from the same annotations, so what is published is what is checked. Values are never coerced, except
that an int is a float. A backend on the far side of a wire uses the same `Signature`, so a scenario behaves alike there.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from hud_core.environment.docstrings import read_docstring
from hud_core.errors import ArgumentError, DefinitionError

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_CONSTRAINTS = {
    "ge": "ge", "gt": "gt", "le": "le", "lt": "lt", "multiple_of": "multiple_of", "min_length": "min_length",
    "max_length": "max_length", "pattern": "pattern",
}  # fmt: skip


class Parameter(NamedTuple):
    """One parameter: its name, its annotation made ready for `msgspec`, and its default (or `required`)."""

    name: str
    type: Any
    default: Any
    has_records: bool
    """Whether values can hold dataclasses and the like, whose unknown keys `msgspec` would drop."""

    @property
    def is_required(self) -> bool:
        """Whether a value must be given."""
        return self.default is inspect.Parameter.empty


class Signature:
    """A function's parameters, published as `schema` and checked by `bind`.

    Args:
        subject: What errors call the function, such as ``tool 'count_letter'``.
        function: Any callable with annotated parameters; a parameter without annotation takes any JSON value.

    Raises:
        DefinitionError: A parameter cannot be given as JSON, or is ``*args`` or ``**kwargs``.
    """

    def __init__(self, subject: str, function: Callable[..., Any], *, skip: tuple[str, ...] = ()) -> None:
        self.subject = subject
        signature = inspect.signature(function)
        declared = {name: p for name, p in signature.parameters.items() if name not in skip}
        documentation = read_docstring(inspect.getdoc(function), frozenset(declared))
        self.description = documentation.description
        hints = _hints(subject, function)
        self.parameters = {
            name: _parameter(subject, parameter, hints.get(name, Any), documentation.parameters.get(name))
            for name, parameter in declared.items()
        }
        self.schema = self._schema()

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Turn JSON data into the function's keyword arguments; defaults are left to the function.

        Raises:
            ArgumentError: Arguments are wrong, missing or unknown; every one of them is named.
        """
        bound: dict[str, Any] = {}
        problems: list[str] = []
        parameters = self.parameters
        for name, value in arguments.items():
            parameter = parameters.get(name)
            if parameter is None:
                problems.append(self._unknown(name))
                continue
            try:
                bound[name] = msgspec.convert(value, parameter.type, dec_hook=_decode)
            except (msgspec.ValidationError, ValueError, TypeError) as error:
                problems.append(_problem(name, value, error))
                continue
            if parameter.has_records:
                problems += [f"parameter {path}: unknown field" for path in _dropped(value, bound[name], name)]
        problems += [
            f"missing parameter {name!r}, expected {_expected(parameter.type)}"
            for name, parameter in parameters.items()
            if parameter.is_required and name not in arguments
        ]
        if problems:
            raise ArgumentError(self.subject, problems)
        return bound

    def _unknown(self, name: str) -> str:
        known = ", ".join(self.parameters) or "none"
        return f"unknown parameter {name!r}; it takes {known}"

    def _schema(self) -> dict[str, Any]:
        types_ = [parameter.type for parameter in self.parameters.values()]
        schemas, definitions = msgspec.json.schema_components(
            types_, schema_hook=_schema_of, ref_template="#/$defs/{name}"
        )
        properties = {}
        for parameter, schema in zip(self.parameters.values(), schemas, strict=True):
            properties[parameter.name] = _closed(schema)
            if not parameter.is_required:
                _add_default(properties[parameter.name], parameter.default)
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [parameter.name for parameter in self.parameters.values() if parameter.is_required]
        if required:
            schema["required"] = required
        if definitions:
            schema["$defs"] = {name: _closed(definition) for name, definition in definitions.items()}
        return schema


class TypeCodec:
    """One type, published as JSON Schema and checked: the typed answer of a scenario."""

    def __init__(self, subject: str, annotation: Any) -> None:
        self.type = _prepare(annotation)
        try:
            schemas, definitions = msgspec.json.schema_components(
                [self.type], schema_hook=_schema_of, ref_template="#/$defs/{name}"
            )
        except TypeError as error:
            msg = f"{subject}: returns={annotation!r} has no JSON form: {error}"
            raise DefinitionError(msg) from error
        definitions = {name: _closed(definition) for name, definition in definitions.items()}
        schema = _closed(schemas[0])
        reference = schema.get("$ref", "").removeprefix("#/$defs/")
        if reference and len(schema) == 1:  # providers want an object at the top, not a reference to one
            schema = definitions[reference] if f'"#/$defs/{reference}"' in str(definitions) else definitions.pop(reference)
        self.schema: dict[str, Any] = {**schema, "$defs": definitions} if definitions else schema

    def parse(self, text: str) -> Any:
        """Read JSON text as the type.

        Raises:
            ValueError: The text is not JSON, or not of the type.
        """
        if self.type is str:
            return text
        return self.convert(msgspec.json.decode(text))

    def convert(self, value: Any) -> Any:
        """Read JSON data as the type.

        Raises:
            ValueError: The data is not of the type, or has fields that the type does not know.
        """
        result = msgspec.convert(value, self.type, dec_hook=_decode)
        if dropped := list(_dropped(value, result, "answer")):
            msg = f"unknown field {dropped[0]}"
            raise ValueError(msg)
        return result


def to_json_data(value: Any) -> Any:
    """Turn dataclasses, attrs and pydantic objects, enums, tuples and the like into JSON data.

    Raises:
        TypeError: The value has no JSON form.
    """
    return msgspec.to_builtins(value, enc_hook=_encode, str_keys=True)


def _hints(subject: str, function: Callable[..., Any]) -> dict[str, Any]:
    target = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except NameError as error:
        msg = f"{subject}: an annotation names {error.name!r}, which is not defined where the function is"
        raise DefinitionError(msg) from error


def _parameter(subject: str, parameter: inspect.Parameter, annotation: Any, description: str | None) -> Parameter:
    if parameter.kind in _VARIADIC:
        msg = f"{subject}: {parameter} cannot be described to a caller; name each parameter"
        raise DefinitionError(msg)
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        msg = f"{subject}: parameter {parameter.name!r} is positional-only; arguments are given by name"
        raise DefinitionError(msg)
    prepared = _prepare(annotation)
    if description and not _has_description(prepared):
        prepared = Annotated[prepared, msgspec.Meta(description=description)]
    try:
        described = msgspec.inspect.type_info(prepared)
        msgspec.json.schema_components([prepared], schema_hook=_schema_of)
    except TypeError as error:
        msg = f"{subject}: parameter {parameter.name!r} of type {annotation!r} is not JSON-serializable: {error}"
        raise DefinitionError(msg) from error
    has_records = any(word in repr(described) for word in ("DataclassType", "TypedDictType", "StructType"))
    return Parameter(parameter.name, prepared, parameter.default, has_records)


def _has_description(annotation: Any) -> bool:
    metadata = getattr(annotation, "__metadata__", ())
    return any(isinstance(item, msgspec.Meta) and item.description for item in metadata)


def _prepare(annotation: Any) -> Any:
    """Make an annotation one that `msgspec` takes: foreign metadata as Meta, mixed unions as `_OneOf`."""
    origin = get_origin(annotation)
    if annotation is inspect.Parameter.empty or annotation is object:
        return Any
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        metas = [meta for item in metadata for meta in _metas(item)]
        return Annotated[(_prepare(inner), *metas)] if metas else _prepare(inner)
    if origin in (Union, types.UnionType):
        return _union(tuple(_prepare(member) for member in get_args(annotation)))
    arguments = get_args(annotation)
    if origin is None or not arguments or not any(isinstance(a, type) or get_origin(a) for a in arguments):
        return annotation
    if str(origin) == "typing.Literal":
        return annotation
    return origin[tuple(_prepare(argument) for argument in arguments)]


def _metas(item: Any) -> Iterator[msgspec.Meta]:
    """Read a string, an annotated-types or a pydantic constraint as `msgspec.Meta`."""
    if isinstance(item, msgspec.Meta):
        yield item
    elif isinstance(item, str):
        yield msgspec.Meta(description=item)
    else:
        known = {ours: getattr(item, theirs, None) for theirs, ours in _CONSTRAINTS.items()}
        known |= {"description": getattr(item, "description", None), "title": getattr(item, "title", None)}
        given = {name: value for name, value in known.items() if value is not None}
        if given:
            yield msgspec.Meta(**given)
        for inner in getattr(item, "metadata", ()):  # pydantic keeps a field's constraints here
            yield from _metas(inner)


def _union(members: tuple[Any, ...]) -> Any:
    union = Union[members]
    try:
        msgspec.inspect.type_info(union)
        msgspec.json.Decoder(union, dec_hook=_decode)
    except TypeError:  # several records or several kinds of string: told apart by trying each
        return type("OneOf", (_OneOf,), {"members": members})
    return union


class _OneOf:
    """A union that `msgspec` cannot tell apart by JSON type; the first member that fits is taken."""

    members: tuple[Any, ...] = ()


def _decode(annotation: Any, value: Any) -> Any:
    """Convert what `msgspec` does not know: mixed unions and pydantic models."""
    if isinstance(annotation, type) and issubclass(annotation, _OneOf):
        return _first_that_fits(annotation.members, value)
    if hasattr(annotation, "model_validate"):
        return annotation.model_validate(value, strict=None)
    if isinstance(value, annotation):
        return value
    msg = f"Expected `{annotation.__name__}`, got `{type(value).__name__}`"
    raise ValueError(msg)


def _first_that_fits(members: tuple[Any, ...], value: Any) -> Any:
    problems = []
    for member in members:
        try:
            converted = msgspec.convert(value, member, dec_hook=_decode)
        except ValueError as error:
            problems.append(str(error))
            continue
        if not list(_dropped(value, converted, "")):
            return converted
        problems.append(f"unknown fields for {_expected(member)}")
    raise ValueError("; ".join(problems))


def _encode(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)


def _schema_of(annotation: Any) -> dict[str, Any]:
    if isinstance(annotation, type) and issubclass(annotation, _OneOf):
        return {"anyOf": [_inline(member) for member in annotation.members]}
    if hasattr(annotation, "model_json_schema"):
        return dict(annotation.model_json_schema())
    msg = f"{annotation!r} has no JSON form"
    raise TypeError(msg)


def _inline(annotation: Any) -> dict[str, Any]:
    """Give a type's schema with its definitions inside."""
    schema = msgspec.json.schema(annotation, schema_hook=_schema_of)
    reference = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if reference and list(schema["$defs"]) == [reference]:
        return _closed(schema["$defs"][reference])
    return _closed(schema)


def _closed(schema: Any) -> Any:
    """Say in a schema that records take no other fields, since `bind` refuses them."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("type") == "object" and isinstance(closed.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


def _add_default(schema: dict[str, Any], default: Any) -> None:
    try:
        schema["default"] = to_json_data(default)
    except TypeError:
        return  # a default without JSON form still applies; it just cannot be shown


def _dropped(value: Any, converted: Any, path: str) -> Iterator[str]:
    """Name the keys of records that the conversion did not take."""
    if isinstance(value, dict):
        if isinstance(converted, dict):
            pairs = {key: converted.get(key, converted.get(str(key))) for key in value if key in converted}
            missing = [key for key in value if key not in converted] if len(converted) < len(value) else []
        elif hasattr(converted, "__dict__") or hasattr(converted, "__slots__"):
            pairs = {key: getattr(converted, key) for key in value if hasattr(converted, key)}
            missing = [] if hasattr(converted, "model_dump") else [key for key in value if not hasattr(converted, key)]
        else:
            return
        yield from (f"{path}.{key}" for key in missing)
        for key, item in pairs.items():
            yield from _dropped(value[key], item, f"{path}.{key}")
    elif isinstance(value, list) and isinstance(converted, list | tuple):
        for number, (before, after) in enumerate(zip(value, converted, strict=False)):
            yield from _dropped(before, after, f"{path}[{number}]")


def _expected(annotation: Any) -> str:
    """Name a type as people write it."""
    if get_origin(annotation) is Annotated:
        return _expected(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, _OneOf):
        return " | ".join(_expected(member) for member in annotation.members)
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def _problem(name: str, value: Any, error: Exception) -> str:
    """Say which parameter is wrong, what was expected and what was given."""
    text = str(error)
    path = name
    if " - at `$" in text:
        text, _, where = text.rpartition(" - at `$")
        path = name + where.rstrip("`")
    text = text[:1].lower() + text[1:].replace("`", "")
    shown = repr(value)
    return f"parameter {path!r}: {text} ({shown if len(shown) <= 80 else shown[:77] + '...'})"  # noqa: PLR2004
