"""Every kind of parameter: what it takes, what it refuses and says, and what its schema says."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Optional, Required, TypedDict

import annotated_types
import attrs
import jsonschema
import msgspec
import pydantic
import pytest

from hud_core.environment.signature import Signature, to_json_data
from hud_core.errors import ArgumentError, DefinitionError


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Item:
    sku: str
    count: int = 1
    colour: Colour = Colour.RED


@dataclass
class Order:
    items: list[Item]
    notes: dict[str, str] = field(default_factory=dict)


@attrs.frozen
class Point:
    x: float
    y: float = attrs.field(default=0.0, validator=attrs.validators.le(10))


class Movie(TypedDict):
    title: Required[str]
    year: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Address(pydantic.BaseModel):
    street: str
    number: int = pydantic.Field(ge=1, description="on the door")


class Person(pydantic.BaseModel):
    name: str
    born: dt.date | None = None
    addresses: list[Address] = []


class Tree(pydantic.BaseModel):
    value: int
    children: list[Tree] = []


class Anything(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    known: int


@dataclass
class Household:
    people: list[Person]
    main: Address | None = None


@dataclass
class Node:
    value: int
    next: Node | None = None


UserId = NewType("UserId", int)
AliasedList = list[Item]
NAN = math.nan


def signature_of(annotation: Any) -> Signature:
    def function(value):
        """Take a value."""

    function.__annotations__["value"] = annotation
    return Signature("tool 'take'", function)


def bound(annotation: Any, data: Any) -> Any:
    return signature_of(annotation).bind({"value": data})["value"]


TAKEN = [
    (str, "3", "3"),
    (str, "", ""),
    (int, 3, 3),
    (int, 10**30, 10**30),
    (float, 1.5, 1.5),
    (float, 1, 1.0),
    (bool, True, True),
    (None, None, None),
    (Any, {"a": [1, None]}, {"a": [1, None]}),
    (object, [1], [1]),
    (list, [1, "a"], [1, "a"]),
    (dict, {"a": 1}, {"a": 1}),
    (list[int], [1, 2], [1, 2]),
    (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
    (set[int], [1, 2], {1, 2}),
    (frozenset[str], ["a"], frozenset({"a"})),
    (Literal["a", 1] | None, "a", "a"),
    (Literal["a", 1] | None, 1, 1),
    (Literal["a", 1] | None, None, None),
    (Colour, "red", Colour.RED),
    (Level, 2, Level.HIGH),
    (int | None, None, None),
    (Optional[int], 3, 3),  # noqa: UP045  the older spelling
    (int | str, "3", "3"),
    (int | float, 3, 3),
    (Colour | str, "red", Colour.RED),
    (Colour | str, "blue", "blue"),
    (str | Colour, "red", "red"),
    (dt.date | str, "soon", "soon"),
    (dt.date | str, "2026-01-02", dt.date(2026, 1, 2)),
    (list[int] | tuple[int, str], [1, "a"], (1, "a")),
    (list[int] | dict[str, int], {"a": 1}, {"a": 1}),
    (Item, {"sku": "a", "colour": "green"}, Item("a", 1, Colour.GREEN)),
    (Order, {"items": [{"sku": "a"}], "notes": {"x": "y"}}, Order([Item("a")], {"x": "y"})),
    (Node, {"value": 1, "next": {"value": 2}}, Node(1, Node(2))),
    (Point, {"x": 1}, Point(1.0)),
    (Movie, {"title": "Alien"}, {"title": "Alien"}),
    (Pair, [1], Pair(1)),
    (Pair, [1, "b"], Pair(1, "b")),
    (Item | Point, {"x": 1.0}, Point(1.0)),
    (Item | Movie | None, {"title": "Alien", "year": 1979}, {"title": "Alien", "year": 1979}),
    (Person | Item, {"name": "Ann"}, Person(name="Ann")),
    (Person | int | None, 3, 3),
    (list[Item | Point], [{"x": 1.0}, {"sku": "a"}], [Point(1.0), Item("a")]),
    (dict[str, Person | Address], {"a": {"name": "Ann"}}, {"a": Person(name="Ann")}),
    (AliasedList, [{"sku": "a"}], [Item("a")]),
    (UserId, 3, 3),
    (dt.datetime, "2026-01-02T03:04:05", dt.datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001
    (dt.timedelta, "P1D", dt.timedelta(days=1)),
    (uuid.UUID, "12345678123456781234567812345678", uuid.UUID("12345678123456781234567812345678")),
    (Decimal, "1.50", Decimal("1.50")),
    (bytes, "aGk=", b"hi"),
    (Annotated[int, "how many"], 3, 3),
    (Annotated[int, msgspec.Meta(ge=1)], 1, 1),
    (Annotated[int, pydantic.Field(ge=1, le=3)], 3, 3),
    (Annotated[int | None, pydantic.Field(ge=1)], None, None),
    (Annotated[str, pydantic.Field(pattern="^a")], "abc", "abc"),
    (Annotated[list[int], annotated_types.Len(1, 2)], [1], [1]),
    (Annotated[Item | Point, "either"], {"x": 1.0}, Point(1.0)),
    (pydantic.PositiveInt, 1, 1),
    (Person, {"name": "Ann", "born": "2000-01-02"}, Person(name="Ann", born=dt.date(2000, 1, 2))),
    (list[Person], [{"name": "Ann"}], [Person(name="Ann")]),
    (
        Household,
        {"people": [{"name": "Ann", "addresses": [{"street": "s", "number": 1}]}]},
        Household([Person(name="Ann", addresses=[Address(street="s", number=1)])]),
    ),
    (Tree, {"value": 1, "children": [{"value": 2}]}, Tree(value=1, children=[Tree(value=2)])),
    (Anything, {"known": 1, "other": 2}, Anything(known=1, other=2)),
]


@pytest.mark.parametrize(("annotation", "data", "value"), TAKEN, ids=str)
def test_takes(annotation: Any, data: Any, value: Any) -> None:
    result = bound(annotation, data)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(("annotation", "data", "value"), TAKEN, ids=str)
def test_what_is_taken_fits_the_published_schema(annotation: Any, data: Any, value: Any) -> None:
    schema = signature_of(annotation).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"value": data}, schema)


@pytest.mark.parametrize(("annotation", "data", "value"), TAKEN, ids=str)
def test_values_of_python_become_data_that_is_taken(annotation: Any, data: Any, value: Any) -> None:
    assert bound(annotation, to_json_data(value)) == value


REFUSED = [
    (str, 3, "'value': expected str, got int 3"),
    (str, None, "'value': expected str, got null None"),
    (int, "3", "'value': expected int, got str '3'"),
    (int, True, "'value': expected int, got bool True"),
    (int, 3.0, "'value': expected int, got float 3.0"),
    (float, "1", "'value': expected float, got str '1'"),
    (float, True, "'value': expected float, got bool True"),
    (float, NAN, "'value': nan is no JSON number"),
    (float, math.inf, "'value': inf is no JSON number"),
    (Any, {"a": [1, NAN]}, "'value.a[1]': nan is no JSON number"),
    (bool, 1, "'value': expected bool, got int 1"),
    (bool, "true", "'value': expected bool, got str 'true'"),
    (None, 0, "'value': expected null, got int 0"),
    (list, "a", "'value': expected array, got str 'a'"),
    (dict, [1], "'value': expected object, got array [1]"),
    (list[int], [1, "2"], "'value[1]': expected int, got str '2'"),
    (dict[str, list[int]], {"a": ["x"]}, "expected int, got str"),
    (dict[int, str], {"a": "x"}, "as a key"),
    (tuple[int, str], [1], "'value': expected array of length 2, got 1 [1]"),
    (set[int], [1, 1], "'value': an item is there twice"),
    (Literal["a", "b"], "c", "'value': expected one of 'a', 'b', got 'c'"),
    (Colour, "blue", "'value': expected one of 'green', 'red', got 'blue'"),
    (list[Colour], ["blue"], "'value[0]': expected one of 'green', 'red', got 'blue'"),
    (Level, 3, "'value': expected one of 1, 2, got 3"),
    (int | str, 1.5, "'value': expected int | str, got float 1.5"),
    (Item, {"count": 1}, "'value': object missing required field sku"),
    (Item, {"sku": "a", "count": "x"}, "'value.count': expected int, got str 'x'"),
    (Item, {"sku": "a", "extra": 1}, "'value.extra': unknown field"),
    (Order, {"items": [{"sku": "a", "extra": 1}]}, "'value.items[0].extra': unknown field"),
    (Node, {"value": 1, "next": {"value": 2, "extra": 3}}, "'value.next.extra': unknown field"),
    (Point, {"x": 1, "y": 11}, "'y' must be <= 10"),
    (Movie, {"year": 1979}, "missing required field title"),
    (Movie, {"title": "a", "director": "b"}, "'value.director': unknown field"),
    (Item | Point, {"x": 1, "z": 2}, "'value.z': unknown field (as Point)"),
    (list[Item | Point], [{"x": "a"}], "'value[0].x': expected float, got str 'a' (as Point)"),
    (Person | Item, {"nom": "a"}, "(as Person)"),
    (dt.datetime, "soon", "'value': invalid RFC3339 encoded datetime, got 'soon'"),
    (uuid.UUID, "x", "'value': invalid UUID, got 'x'"),
    (Decimal, 1, "'value': expected str, got int 1"),
    (bytes, "?", "'value': invalid base64 encoded string, got '?'"),
    (Annotated[int, msgspec.Meta(ge=1)], 0, "'value': expected int >= 1, got 0"),
    (Annotated[int | None, pydantic.Field(ge=1)], 0, "'value': expected int >= 1, got 0"),
    (Annotated[str, pydantic.Field(pattern="^a")], "b", "matching regex '^a'"),
    (Annotated[list[int], annotated_types.Len(1, 2)], [], "length >= 1"),
    (Person, {"name": "Ann", "extra": 1}, "'value.extra': unknown field"),
    (Person, {"name": 3}, "'value.name': input should be a valid string, got 3"),
    (Person, {"name": "Ann", "addresses": [{"street": "s", "number": "1"}]}, "'value.addresses[0].number'"),
    (Address, {"street": "s", "number": 0}, "'value.number': input should be greater than or equal to 1, got 0"),
    (list[Tree], [{"value": 1, "children": [{"value": 2, "extra": 3}]}], "'value[0].children[0].extra'"),
    (Household, {"people": [{"name": "Ann", "extra": 1}]}, "'value.people[0].extra': unknown field"),
]


@pytest.mark.parametrize(("annotation", "data", "said"), REFUSED, ids=str)
def test_refuses(annotation: Any, data: Any, said: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        bound(annotation, data)
    assert str(caught.value).startswith("tool 'take': parameter 'value")
    assert said in str(caught.value)


BEYOND_SCHEMA = (dict[int, str], dt.datetime, uuid.UUID, bytes, Point)
"""What JSON Schema does not say: the form of keys and of text, and what a class checks itself."""


def is_beyond_schema(annotation: Any, data: Any) -> bool:
    """Nor has it a word against 3.0 as an integer, or against numbers that JSON cannot write."""
    return annotation in BEYOND_SCHEMA or repr(data) == "3.0" or any(word in repr(data) for word in ("nan", "inf"))


@pytest.mark.parametrize(
    ("annotation", "data"), [row[:2] for row in REFUSED if not is_beyond_schema(row[0], row[1])], ids=str
)
def test_what_is_refused_does_not_fit_the_published_schema(annotation: Any, data: Any) -> None:
    assert not jsonschema.Draft202012Validator(signature_of(annotation).schema).is_valid({"value": data})


def test_every_problem_is_listed() -> None:
    def function(count: int, item: Item, flag: bool = False) -> None: ...

    with pytest.raises(ArgumentError) as caught:
        Signature("tool 'f'", function).bind({"item": {"sku": 1, "extra": 2}, "flag": "no", "coutn": 3})
    assert caught.value.problems == (
        "parameter 'item.sku': expected str, got int 1",
        "parameter 'item.extra': unknown field",
        "parameter 'flag': expected bool, got str 'no'",
        "unknown parameter 'coutn'; it takes count, item, flag; did you mean 'count'?",
        "missing parameter 'count', expected int",
    )


def test_every_problem_of_a_pydantic_model_is_listed() -> None:
    with pytest.raises(ArgumentError) as caught:
        bound(list[Address], [{"street": 1, "number": 0}, {"street": "s", "number": 1}])
    assert len(caught.value.problems) == 2
    assert "https://" not in str(caught.value)


@pytest.mark.parametrize("arguments", [[1], "text", None, 3])
def test_arguments_that_are_no_object_are_refused(arguments: Any) -> None:
    with pytest.raises(ArgumentError, match="arguments must be an object"):
        signature_of(int).bind(arguments)


def test_a_long_value_is_shortened_in_messages() -> None:
    with pytest.raises(ArgumentError) as caught:
        bound(int, "x" * 1000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("annotation", [Any, list, dict, dict[str, Any], list[Any], Anything])
def test_bound_values_share_nothing_with_the_arguments(annotation: Any) -> None:
    inner: list[int] = [1]
    data: Any = [inner] if annotation in (list, list[Any]) else {"known": 1, "inner": inner}
    result = bound(annotation, data)
    (result[0] if isinstance(result, list) else getattr(result, "inner", None) or result["inner"]).append(2)
    assert inner == [1]


@pytest.mark.parametrize("annotation", [type, complex, pytest.MonkeyPatch, list[pytest.MonkeyPatch]])
def test_a_type_without_json_form_is_an_error_at_declaration(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match=r"tool 'take': parameter 'value' of type .* is not JSON-serializable"):
        signature_of(annotation)


def test_values_without_json_form() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        to_json_data({"a": object()})


def test_json_data_is_plain_and_new() -> None:
    value = {"t": (1, [2]), "e": Colour.RED, "p": Person(name="Ann"), 3: {4}}
    assert to_json_data(value) == {
        "t": [1, [2]],
        "e": "red",
        "p": {"name": "Ann", "born": None, "addresses": []},
        "3": [4],
    }
    inner = [1]
    assert to_json_data([inner])[0] is not inner
