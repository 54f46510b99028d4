"""The published schema: what it says, that it is closed and complete, and that it says what `bind` does."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, make_dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Union

import jsonschema
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict  # pydantic wants this one

from hud_core.environment.signature import Signature, TypeCodec
from hud_core.errors import ArgumentError, DefinitionError


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Part:
    name: str
    size: Size = Size.SMALL


class Inner(pydantic.BaseModel):
    """Say what it is."""

    number: int = 1


class Outer(pydantic.BaseModel):
    inner: Inner
    others: list[Inner] = []


def schema_of(function: Any) -> dict[str, Any]:
    schema = Signature("tool 'f'", function).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(references, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(references, schema.values()))


def test_the_whole_of_a_simple_schema() -> None:
    def count(word: str, letter: str = "r", *, limit: int | None = None) -> int:
        """Count a letter.

        Args:
            word: Where to look.
            letter: What to count.
        """

    assert schema_of(count) == {
        "type": "object",
        "properties": {
            "word": {"type": "string", "description": "Where to look."},
            "letter": {"type": "string", "description": "What to count.", "default": "r"},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["word"],
        "additionalProperties": False,
    }


def test_a_function_without_parameters() -> None:
    def nothing() -> None: ...

    assert schema_of(nothing) == {"type": "object", "properties": {}, "additionalProperties": False}


def test_records_are_definitions_and_closed() -> None:
    def build(part: Part, spare: list[Part]) -> None: ...

    schema = schema_of(build)
    assert schema["properties"]["part"] == {"$ref": "#/$defs/Part"}
    assert schema["$defs"]["Part"]["additionalProperties"] is False
    assert schema["$defs"]["Part"]["properties"]["size"] == {"$ref": "#/$defs/Size", "default": "s"}


def test_every_reference_resolves_in_the_schema_itself() -> None:
    def build(a: Outer, b: list[Outer], c: Part | Outer | None, d: dict[str, Part | Size]) -> None: ...

    schema = schema_of(build)
    found = references(schema)
    assert found == {f"#/$defs/{name}" for name in schema["$defs"]}
    assert "$defs" not in str(schema["properties"]).replace("#/$defs/", "")


def test_definitions_of_one_name_are_kept_apart() -> None:
    def model(fields: Any) -> Any:
        inner = pydantic.create_model("Inner", **fields)
        return pydantic.create_model("Holder", inner=(inner, ...))

    first, second = model({"a": (int, ...)}), model({"b": (str, ...)})

    def build(first, second) -> None: ...

    build.__annotations__ |= {"first": first, "second": second}
    schema = schema_of(build)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"first": {"inner": {"a": 1}}, "second": {"inner": {"b": "x"}}})
    assert not validator.is_valid({"first": {"inner": {"b": "x"}}, "second": {"inner": {"b": "x"}}})
    assert len(schema["$defs"]) == 2


def test_defaults_are_shown_as_json() -> None:
    def build(
        size: Size = Size.LARGE,
        part: Part = Part("x"),  # noqa: B008
        pair: tuple[int, ...] = (1, 2),
        wrong: int = "text",  # type: ignore[assignment]
        endless: float = math.inf,
        strange: Any = object(),  # noqa: B008
    ) -> None: ...

    properties = schema_of(build)["properties"]
    assert properties["size"]["default"] == "l"
    assert properties["part"]["default"] == {"name": "x", "size": "s"}
    assert properties["pair"]["default"] == [1, 2]
    assert not any("default" in properties[name] for name in ("wrong", "endless", "strange"))
    assert "required" not in schema_of(build)


def test_a_default_of_none_makes_a_parameter_optional() -> None:
    def build(limit: int = None, text: str | None = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        ...

    signature = Signature("tool 'f'", build)
    assert signature.schema["properties"]["limit"]["default"] is None
    assert signature.bind({"limit": None}) == {"limit": None}


def test_descriptions_come_from_annotations_before_docstrings() -> None:
    def build(
        a: Annotated[int, "said here"],
        b: Annotated[int, pydantic.Field(description="field")],
        c: Annotated[int | None, msgspec.Meta(description="meta", ge=1)],
        d: Inner,
        e: Part,
    ) -> None:
        """Build it.

        Args:
            a: not this
            b: not this
            c: not this
            d: the inner one
            e: the part
        """

    properties = schema_of(build)["properties"]
    assert [properties[name]["description"] for name in "abcde"] == [
        "said here",
        "field",
        "meta",
        "the inner one",
        "the part",
    ]
    assert properties["c"]["anyOf"] == [{"type": "integer", "minimum": 1}, {"type": "null"}]


def test_two_types_of_one_name_are_an_error_that_names_it() -> None:
    def build(value: tuple[_typed_dict("Same", {"a": int}), _typed_dict("Same", {"b": int})]) -> None: ...

    with pytest.raises(DefinitionError, match="two different types have one name, Same"):
        Signature("tool 'f'", build)


def test_a_typed_answer_has_an_object_at_the_top() -> None:
    codec = TypeCodec("scenario 's'", Part)
    assert codec.schema == {
        "title": "Part",
        "type": "object",
        "properties": {"name": {"type": "string"}, "size": {"$ref": "#/$defs/Size", "default": "s"}},
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {"Size": {"title": "Size", "enum": ["l", "s"]}},
    }


# --- the schema and the check say the same ----------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])


numbers = itertools.count()


def records(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(names, types, min_size=1, max_size=3)
    return st.tuples(st.sampled_from([_dataclass, _typed_dict, _partial_dict, _model]), fields).map(
        lambda pair: pair[0](f"Record{next(numbers)}", pair[1])
    )


def _dataclass(name: str, fields: dict[str, Any]) -> Any:
    return make_dataclass(name, list(fields.items()))


def _typed_dict(name: str, fields: dict[str, Any]) -> Any:
    return TypedDict(name, fields)  # type: ignore[operator]


def _partial_dict(name: str, fields: dict[str, Any]) -> Any:
    return TypedDict(name, fields, total=False)  # type: ignore[operator]


def _model(name: str, fields: dict[str, Any]) -> Any:
    return pydantic.create_model(name, **{field: (kind, ...) for field, kind in fields.items()})


def unions(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(types, min_size=2, max_size=3).map(lambda members: Union[tuple(members)])  # noqa: UP007


simple = st.sampled_from(
    [
        str,
        int,
        bool,
        float,
        type(None),
        Size,
        Literal["s", "x"],
        Annotated[int, msgspec.Meta(ge=0, le=2)],
        Annotated[str, pydantic.Field(max_length=1)],
    ]
)
types = st.recursive(
    simple,
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),  # type: ignore[valid-type]
        inner.map(lambda t: dict[str, t]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda t: tuple[t]),  # type: ignore[valid-type]
        records(inner),
        unions(inner),
    ),
    max_leaves=5,
)
atoms = st.sampled_from([None, True, False, 0, 1, 3, 0.5, -1.5, "", "s", "x", "long", 10**20])
data = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), inner, max_size=4)
    ),
    max_leaves=6,
)


def made_for(annotation: Any) -> st.SearchStrategy[Any]:
    """Give data that a schema takes, so that not all examples are refused."""

    def function(value): ...

    function.__annotations__["value"] = annotation
    schema = Signature("tool 'f'", function).schema
    return of_schema(schema["properties"]["value"], schema.get("$defs", {}))


def of_schema(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return of_schema(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    if "anyOf" in schema:
        return st.one_of([of_schema(part, definitions) for part in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return st.tuples(*(of_schema(part, definitions) for part in schema["prefixItems"])).map(list)
        case "array":
            return st.lists(of_schema(schema["items"], definitions), max_size=2)
        case "object" if "properties" in schema:
            fields = {name: of_schema(part, definitions) for name, part in schema["properties"].items()}
            return st.fixed_dictionaries(fields)
        case "object":
            return st.dictionaries(names, of_schema(schema["additionalProperties"], definitions), max_size=2)
    return atoms


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data())
def test_data_fits_the_schema_exactly_if_bind_takes_it(draw: st.DataObject) -> None:
    annotation = draw.draw(types)
    value = draw.draw(data | made_for(annotation))

    def function(value): ...

    function.__annotations__["value"] = annotation
    signature = Signature("tool 'f'", function)
    jsonschema.Draft202012Validator.check_schema(signature.schema)
    note(f"{signature.schema=}")
    fits = jsonschema.Draft202012Validator(signature.schema).is_valid({"value": value})
    try:
        signature.bind({"value": value})
        taken = True
    except ArgumentError as error:
        note(str(error))
        taken = False
    assert fits == taken
