"""Annotations made ready for `msgspec`: foreign constraints, and unions that it cannot tell apart.

Constraints of pydantic and annotated-types are recognised by their shape, so the kernel works without either.
"""

from __future__ import annotations

import inspect
import types
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

import msgspec

from hud_core.environment.json_records import AnyInstance, prepare_record

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONSTRAINTS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")
_DESCRIPTIONS = ("title", "description", "examples", "extra_json_schema", "extra")


class OneOf(metaclass=AnyInstance):
    """A union that `msgspec` cannot tell apart by JSON type; the first member that fits is taken.

    `one_of` makes a subclass for each union, since `msgspec` tells custom types apart by their class.
    """

    members: ClassVar[tuple[Any, ...]] = ()
    codecs: ClassVar[tuple[Any, ...]] = ()
    """What converts to each member; made on first use, since making them takes the union itself."""


def prepare(annotation: Any, around: tuple[Any, ...] = ()) -> Any:
    """Make an annotation one that `msgspec` takes.

    Foreign metadata becomes `Meta`, a mixed union a `OneOf`, and a record that holds such a `Record`.

    Args:
        annotation: Any annotation.
        around: The records that it is inside, for those that hold themselves.
    """
    if annotation in around:
        return annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is inspect.Parameter.empty or annotation is object:
        return Any
    if origin is Annotated:
        metas = [part for item in arguments[1:] for meta in _metas(item) for part in _parts(meta)]
        return _constrained(prepare(arguments[0], around), metas)
    if origin in (Union, types.UnionType):
        return one_of(tuple(prepare(member, around) for member in arguments))
    if origin is None or origin is Literal:
        return prepare_record(annotation, partial(prepare, around=(*around, annotation)))
    prepared = tuple(prepare(argument, around) for argument in arguments)
    return annotation if prepared == arguments else origin[prepared]


def one_of(members: tuple[Any, ...]) -> Any:
    """Make the union of types; a `OneOf` where `msgspec` could not tell them apart."""
    union: Any = Union[members]  # noqa: UP007  a union of as many as there are
    if not _is_mishandled(get_args(union)) and is_known(union):
        return union
    flat = tuple(inner for member in members for inner in (members_of(member) or (member,)))
    return AnyInstance("OneOf", (OneOf,), {"members": flat})


def _is_mishandled(members: tuple[Any, ...]) -> bool:
    """Whether `msgspec` gets a union wrong.

    It holds all members of one kind to the constraints of one, and a tuple of fixed length beside a constrained member
    is a segmentation fault (0.22).
    """
    bare = [get_args(member)[0] if get_origin(member) is Annotated else member for member in members]
    kinds = {float if kind is int else kind for kind in bare}
    is_constrained = bare != list(members)
    return (is_constrained and len(kinds) < len(bare)) or any(_is_fixed_tuple(kind) for kind in bare)


def _is_fixed_tuple(annotation: Any) -> bool:
    return get_origin(annotation) is tuple and ... not in get_args(annotation)


def members_of(annotation: Any) -> tuple[Any, ...]:
    """Give the members of a union, and nothing for any other type."""
    if isinstance(annotation, type) and issubclass(annotation, OneOf):
        return annotation.members
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ()


def is_known(annotation: Any) -> bool:
    """Whether `msgspec` takes a type as it is."""
    try:
        msgspec.inspect.type_info(annotation)
    except TypeError:
        return False
    return True


def has_description(annotation: Any) -> bool:
    """Whether a prepared annotation describes itself."""
    metadata = getattr(annotation, "__metadata__", ())
    return any(isinstance(item, msgspec.Meta) and item.description for item in metadata)


def _metas(item: Any) -> Iterator[msgspec.Meta]:
    """Read a string, an annotated-types or a pydantic constraint as `Meta`; nothing for any other metadata."""
    if isinstance(item, msgspec.Meta):
        yield item
    elif isinstance(item, str):
        yield msgspec.Meta(description=item)
    else:
        given = {name: getattr(item, name, None) for name in (*_CONSTRAINTS, "description", "title")}
        known = {name: value for name, value in given.items() if type(value) in (str, int, float)}
        if known:
            yield msgspec.Meta(**known)
        inside = getattr(item, "metadata", None)  # where pydantic keeps a field's constraints
        for inner in inside if isinstance(inside, list | tuple) else ():
            yield from _metas(inner)


def _parts(meta: msgspec.Meta) -> Iterator[tuple[bool, msgspec.Meta]]:
    """Split metadata into what constrains a type and what only describes it."""
    for describes, names in ((False, _CONSTRAINTS), (True, _DESCRIPTIONS)):
        given = {name: getattr(meta, name) for name in names if getattr(meta, name) is not None}
        if given:
            yield describes, msgspec.Meta(**given)


def _constrained(annotation: Any, metas: list[tuple[bool, msgspec.Meta]]) -> Any:
    for _, meta in sorted(metas, key=lambda pair: pair[0]):  # descriptions last: they belong around a whole union
        annotation = _annotated(annotation, meta)
    return annotation


def _annotated(annotation: Any, meta: msgspec.Meta) -> Any:
    """Annotate a type; a constraint on a union goes to the members that it can hold for, as in ``int | None``."""
    whole = Annotated[annotation, meta]
    members = members_of(annotation)
    if not members or is_known(whole):
        return whole
    candidates = [(member, Annotated[member, meta]) for member in members]
    narrowed = tuple(candidate if is_known(candidate) else member for member, candidate in candidates)
    return whole if narrowed == members else one_of(narrowed)


def type_name(annotation: Any) -> str:
    """Name a type as people write it."""
    if get_origin(annotation) is Annotated:
        return type_name(get_args(annotation)[0])
    if members := members_of(annotation):
        return " | ".join(type_name(member) for member in members)
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__  # a `Record` has the name of what it stands for
    if get_origin(annotation) not in (None, Literal):
        inner = ", ".join("..." if a is ... else type_name(a) for a in get_args(annotation))
        return f"{get_origin(annotation).__name__}[{inner}]"
    return str(annotation).replace("typing.", "")
