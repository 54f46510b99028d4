"""The one strict argument codec: a function's parameters as JSON Schema, and JSON data as its arguments.

`msgspec` does both from the same annotations, so what is published is what is checked. Values are never coerced,
except that an int is a float. A backend on the far side of a wire uses the same `Signature`: a scenario behaves alike
there.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, get_type_hints

import msgspec

from hud_core.environment.docstrings import read_docstring
from hud_core.environment.json_codec import Codec, MisfitError, to_json_data
from hud_core.environment.json_schema import REFERENCE, Schema, publish, resolve
from hud_core.environment.json_types import has_description, one_of, prepare, type_name
from hud_core.errors import ArgumentError, DefinitionError, closest

__all__ = ["Parameter", "Signature", "TypeCodec", "to_json_data"]

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_HINT_ERRORS = (NameError, AttributeError, SyntaxError, TypeError)


class Parameter(NamedTuple):
    """One parameter: its name, its codec, its default (or `inspect.Parameter.empty`)."""

    name: str
    codec: Codec
    default: Any
    is_positional: bool
    """Whether Python takes it by position too."""

    @property
    def is_required(self) -> bool:
        """Whether a value must be given."""
        return self.default is inspect.Parameter.empty


class Signature:
    """A function's parameters, published as `schema` and checked by `bind`.

    Args:
        subject: What errors call the function, such as ``tool 'count_letter'``.
        function: Any callable with annotated parameters; a parameter without annotation takes any JSON value. What a
            `functools.partial` has fixed is no parameter.

    Raises:
        DefinitionError: A parameter cannot be given as JSON, or is ``*args`` or ``**kwargs``.
    """

    def __init__(self, subject: str, function: Callable[..., Any]) -> None:
        self.subject = subject
        declared = _declared(subject, function)
        documentation = read_docstring(_docstring(function), frozenset(declared))
        self.description: str = documentation.description
        hints = _hints(subject, function)
        types = {name: _type_of(subject, parameter, hints.get(name, Any)) for name, parameter in declared.items()}
        schemas, definitions = publish(list(types.values()))
        self.parameters: dict[str, Parameter] = {
            name: Parameter(name, Codec(types[name], schema, definitions), p.default, p.kind is not p.KEYWORD_ONLY)
            for (name, p), schema in zip(declared.items(), schemas, strict=True)
        }
        self._converters = {name: parameter.codec.convert for name, parameter in self.parameters.items()}
        self.defaults: dict[str, Any] = dict(_defaults(self.parameters.values()))
        for (name, annotation), schema in zip(types.items(), schemas, strict=True):
            if name in documentation.parameters and not has_description(annotation):
                schema["description"] = documentation.parameters[name]
        self.schema: Schema = self._schema(schemas, definitions)

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Turn JSON data into the function's keyword arguments; defaults are left to the function.

        Raises:
            ArgumentError: Arguments are wrong, missing or unknown; every one of them is named.
        """
        if type(arguments) is not dict and not isinstance(arguments, Mapping):
            raise ArgumentError(self.subject, [f"arguments must be an object, got {type(arguments).__name__}"])
        bound: dict[str, Any] = {}
        problems: list[str] = []
        converters = self._converters
        for name, value in arguments.items():
            if name not in converters:
                problems.append(self._unknown(name))
                continue
            try:
                bound[name] = converters[name](value)
            except MisfitError as error:
                problems += [f"parameter {name + path!r}: {text}" for path, text in error.problems]
        if len(bound) < len(converters):
            problems += self._missing(arguments)
        if problems:
            raise ArgumentError(self.subject, problems)
        return bound

    def _missing(self, arguments: Mapping[str, Any]) -> list[str]:
        return [
            f"missing parameter {name!r}, expected {type_name(parameter.codec.type)}"
            for name, parameter in self.parameters.items()
            if parameter.is_required and name not in arguments
        ]

    def _unknown(self, name: Any) -> str:
        known = ", ".join(self.parameters) or "none"
        return f"unknown parameter {name!r}; it takes {known}{closest(str(name), self.parameters)}"

    def _schema(self, schemas: list[Schema], definitions: dict[str, Schema]) -> Schema:
        properties = dict(zip(self.parameters, schemas, strict=True))
        for name, default in self.defaults.items():
            properties[name]["default"] = default
        required = [name for name, parameter in self.parameters.items() if parameter.is_required]
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        schema |= {"required": required} if required else {}
        return schema | ({"$defs": definitions} if definitions else {})


class TypeCodec:
    """One type, published as JSON Schema and checked: the typed answer of a scenario.

    Args:
        subject: What errors call it, such as ``scenario 'extract'``.
        annotation: Any type with a JSON form.

    Raises:
        DefinitionError: The type has no JSON form.
    """

    def __init__(self, subject: str, annotation: Any) -> None:
        try:
            prepared = prepare(annotation)
            (schema,), definitions = publish([prepared])
        except (TypeError, NameError) as error:
            msg = f"{subject}: returns={type_name(annotation)} has no JSON form: {error}"
            raise DefinitionError(msg) from error
        self._codec = Codec(prepared, schema, definitions)
        self.name: str = type_name(annotation)
        self.schema: Schema | None = None if annotation is str else _whole(schema, definitions)
        """The JSON Schema of the answer; None for `str`, since any text is one."""

    def parse(self, text: str) -> Any:
        """Read text as the type: as JSON, or as it stands where the type takes text, such as an enum's value.

        Raises:
            ValueError: The text is neither.
        """
        if self.schema is None:
            return text
        try:
            return self.convert(msgspec.json.decode(text))
        except ValueError:
            try:
                return self.convert(text)
            except ValueError:
                pass
            raise

    def convert(self, value: Any) -> Any:
        """Read JSON data as the type.

        Raises:
            ValueError: The data is not of the type, or has fields that the type does not know.
        """
        return self._codec.convert(value)


# --- reading a function -----------------------------------------------------------------------------------------------


def _declared(subject: str, function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Give the parameters that a caller names."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError as error:
        msg = f"{subject}: {function!r} has no signature to read; wrap it in a function with annotated parameters"
        raise DefinitionError(msg) from error
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    for parameter in parameters.values():
        if parameter.kind in _VARIADIC:
            msg = f"{subject}: {parameter} cannot be described to a caller; name each parameter"
            raise DefinitionError(msg)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            msg = f"{subject}: parameter {parameter.name!r} is positional-only, but arguments are given by name"
            raise DefinitionError(msg)
    return {name: parameter for name, parameter in parameters.items() if name not in fixed}


def _plain_function(function: Callable[..., Any]) -> Any:
    """Find the function behind a partial or a callable object: what has the annotations and the docstring."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function):
        return function
    return function.__init__ if inspect.isclass(function) else type(function).__call__


def _docstring(function: Callable[..., Any]) -> str | None:
    plain = _plain_function(function)
    return inspect.getdoc(plain) if inspect.isroutine(function) or plain.__doc__ else inspect.getdoc(function)


def _hints(subject: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Read the annotations. They are source code of the function's module, evaluated where it is declared."""
    plain = _plain_function(function)
    names = getattr(plain, "__globals__", {})
    # without what the function returns, whose names may be there for type checkers only
    asked = SimpleNamespace(
        __annotations__={k: v for k, v in getattr(plain, "__annotations__", {}).items() if k != "return"}
    )
    try:
        return get_type_hints(asked, names, include_extras=True)
    except NameError:  # perhaps a class that is local to the function around this one
        try:
            return get_type_hints(asked, names, _enclosing(plain), include_extras=True)
        except NameError as error:
            msg = (
                f"{subject}: an annotation names {error.name!r}, which is not defined yet where the function is; "
                "define or import it above, not under TYPE_CHECKING"
            )
            raise DefinitionError(msg) from error
    except _HINT_ERRORS as error:
        msg = f"{subject}: an annotation cannot be read: {error}"
        raise DefinitionError(msg) from error


def _enclosing(function: Any) -> dict[str, Any]:
    """Give the local names of the function that this one is defined in, while that one runs."""
    outer = function.__qualname__.rpartition(".<locals>.")[0]
    frame = sys._getframe() if outer else None  # noqa: SLF001  there is no public way
    while frame is not None:
        if frame.f_code.co_qualname == outer and frame.f_globals is function.__globals__:
            return frame.f_locals
        frame = frame.f_back
    return {}


def _type_of(subject: str, parameter: inspect.Parameter, annotation: Any) -> Any:
    """Prepare a parameter's type."""
    try:
        prepared = prepare(annotation)
        if parameter.default is None and not _takes_none(prepared):
            prepared = one_of((prepared, type(None)))  # ``x: int = None`` means an optional one
        publish([prepared])
    except (TypeError, NameError) as error:
        msg = (
            f"{subject}: parameter {parameter.name!r} of type {type_name(annotation)} is not JSON-serializable: {error}"
        )
        raise DefinitionError(msg) from error
    return prepared


def _takes_none(prepared: Any) -> bool:
    try:
        Codec(prepared).convert(None)
    except MisfitError:
        return False
    return True


def _defaults(parameters: Any) -> Any:
    """Give the defaults that can be given as JSON; any other one applies all the same, unseen."""
    for name, codec, default, _ in parameters:
        if default is inspect.Parameter.empty:
            continue
        try:
            data = to_json_data(default)
            codec.convert(data)
        except (TypeError, ValueError):
            continue
        yield name, data


def _whole(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Put a schema and its definitions together; an object stands at the top itself, as model providers want it."""
    top = {**resolve(schema, definitions), **{key: value for key, value in schema.items() if key != "$ref"}}
    reference = schema.get("$ref", "")
    kept = dict(definitions)
    if reference and repr(reference) not in repr(definitions):
        kept.pop(reference.removeprefix(REFERENCE))
    return {**top, "$defs": kept} if kept else top
