"""Dataclasses, attrs classes, typed dicts and named tuples with fields that `msgspec` does not take as they are.

Others never come here: `msgspec` knows them, and is faster.
"""

# ruff: noqa: ANN401  annotations and defaults are of any type
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NotRequired, Required, get_args, get_origin, get_type_hints

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_DEFAULT: Any = dataclasses.MISSING


class AnyInstance(type):
    """Makes `msgspec` take whatever a stand-in for a type converts to."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Field(NamedTuple):
    """A field of a record."""

    name: str
    argument: str
    """What the class calls it when it is made."""
    type: Any
    default: Any
    """Its default; `NO_DEFAULT` where there is none to show."""
    is_required: bool


class Record(metaclass=AnyInstance):
    """Stands in for a record; there is a subclass for each, since `msgspec` tells custom types apart by their class."""

    origin: ClassVar[Any]
    fields: ClassVar[tuple[Field, ...]] = ()
    codecs: ClassVar[tuple[Any, ...]] = ()
    """What converts to each field; made on first use."""


def prepare_record(annotation: Any, prepare: Callable[[Any], Any]) -> Any:
    """Make a record one that `msgspec` takes: a stand-in if a field has to be prepared, itself if none has."""
    fields = tuple(_fields(annotation))
    prepared = tuple(field._replace(type=prepare(field.type)) for field in fields)
    if prepared == fields:
        return annotation
    return AnyInstance(annotation.__name__, (Record,), {"origin": annotation, "fields": prepared})


def is_tuple(record: type[Record]) -> bool:
    """Whether a record is an array in JSON."""
    return issubclass(record.origin, tuple)


def _fields(annotation: Any) -> Iterator[Field]:
    """Give the fields of a record; nothing for any other type."""
    if not isinstance(annotation, type) or get_origin(annotation) is not None:
        return
    if dataclasses.is_dataclass(annotation):
        yield from _dataclass_fields(annotation)
    elif hasattr(annotation, "__attrs_attrs__"):
        yield from _attrs_fields(annotation)
    elif hasattr(annotation, "__required_keys__"):  # a typed dict, of typing or of typing_extensions
        for name, kind in get_type_hints(annotation, include_extras=True).items():
            bare = get_args(kind)[0] if get_origin(kind) in (Required, NotRequired) else kind
            yield Field(name, name, bare, NO_DEFAULT, name in annotation.__required_keys__)
    elif issubclass(annotation, tuple) and hasattr(annotation, "_field_defaults"):
        for name, kind in get_type_hints(annotation, include_extras=True).items():
            default = annotation._field_defaults.get(name, NO_DEFAULT)
            yield Field(name, name, kind, default, default is NO_DEFAULT)


def _dataclass_fields(annotation: type) -> Iterator[Field]:
    hints = get_type_hints(annotation, include_extras=True)
    for field in dataclasses.fields(annotation):
        if field.init:
            is_required = field.default is NO_DEFAULT and field.default_factory is NO_DEFAULT
            yield Field(field.name, field.name, hints[field.name], field.default, is_required)


def _attrs_fields(annotation: type) -> Iterator[Field]:
    hints = get_type_hints(annotation, include_extras=True)
    for field in attrs.fields(annotation):
        if field.init:
            shown = field.default is not attrs.NOTHING and not isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
            default = field.default if shown else NO_DEFAULT
            kind = hints.get(field.name, Any)
            yield Field(field.name, field.alias or field.name, kind, default, field.default is attrs.NOTHING)
