"""What callables the codec reads, and what it says of those that it cannot."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, NamedTuple, TypedDict

import annotated_types
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.environment.signature import Signature
from hud_core.errors import ArgumentError, DefinitionError


class Mode(Enum):
    FAST = "fast"


class Calculator:
    """Calculate things."""

    def __init__(self, base: int) -> None:
        self.base = base

    def add(self, amount: int = 1) -> int:
        """Add an amount.

        Args:
            amount: How much.
        """
        return self.base + amount

    def __call__(self, amount: int) -> int:
        return self.base * amount


def multiply(left: int, right: int, *, secret: str = "") -> int:
    """Multiply two numbers."""
    return left * right


def read(function: Any) -> Signature:
    return Signature("tool 'f'", function)


def test_a_bound_method() -> None:
    signature = read(Calculator(1).add)
    assert signature.description == "Add an amount."
    assert signature.schema["properties"] == {"amount": {"type": "integer", "description": "How much.", "default": 1}}


def test_a_callable_object() -> None:
    signature = read(Calculator(2))
    assert signature.description == "Calculate things."
    assert signature.bind({"amount": 3}) == {"amount": 3}


def test_what_a_partial_fixes_is_neither_shown_nor_open_to_callers() -> None:
    signature = read(functools.partial(multiply, 2, secret="s3cret"))
    assert signature.description == "Multiply two numbers."
    assert list(signature.parameters) == ["right"]
    assert "s3cret" not in str(signature.schema)
    with pytest.raises(ArgumentError, match="unknown parameter 'secret'"):
        signature.bind({"right": 1, "secret": "mine"})


def test_a_decorated_function_keeps_its_parameters() -> None:
    @functools.wraps(multiply)
    def wrapper(*args: Any, **kwargs: Any) -> int:
        return multiply(*args, **kwargs)

    assert list(read(wrapper).parameters) == ["left", "right", "secret"]


def test_names_that_the_kernel_uses_itself() -> None:
    def function(self_: int, name: str, scenario: str, call: str, function: str, subject: str) -> None: ...

    arguments = {"self_": 1, "name": "n", "scenario": "s", "call": "c", "function": "f", "subject": "x"}
    assert read(function).bind(arguments) == arguments


def test_a_parameter_without_annotation_takes_anything() -> None:
    def function(value, other=3): ...

    assert read(function).schema["properties"] == {"value": {}, "other": {"default": 3}}
    assert read(function).bind({"value": "[1, 2]"}) == {"value": "[1, 2]"}


def test_classes_local_to_the_function_around_are_found() -> None:
    @dataclass
    class Local:
        value: int

    def function(item: Local) -> None: ...

    assert read(function).bind({"item": {"value": 1}}) == {"item": Local(1)}


def test_a_name_that_is_defined_later_says_what_to_do() -> None:
    def function(item: Later) -> None: ...  # noqa: F821

    with pytest.raises(DefinitionError, match=r"tool 'f': an annotation names 'Later', which is not defined yet"):
        read(function)


@pytest.mark.parametrize("annotation", ["int | 'str'", "list[", "Calculator.missing"])
def test_an_annotation_that_cannot_be_read(annotation: str) -> None:
    def function(item): ...

    function.__annotations__["item"] = annotation
    with pytest.raises(DefinitionError, match="tool 'f': an annotation cannot be read"):
        read(function)


def test_variadic_and_positional_only_parameters_are_refused() -> None:
    def many(*items: int) -> None: ...
    def named(**items: int) -> None: ...
    def first(item: int, /) -> None: ...

    for function, said in ((many, r"\*items"), (named, r"\*\*items"), (first, "positional-only")):
        with pytest.raises(DefinitionError, match=said):
            read(function)


def test_a_builtin_without_signature_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no signature to read"):
        read(max)


# --- records with fields that need preparing --------------------------------------------------------------------------


@dataclass
class Choice:
    mode: Mode | str
    level: Annotated[int, annotated_types.Ge(1)] = 1
    note: str = "none"


@attrs.frozen
class Held:
    _inner: Choice | int
    tags: list[str] = attrs.field(factory=list)


class Row(TypedDict, total=False):
    mode: Mode | str


class Two(NamedTuple):
    mode: Mode | str
    count: int = 1


@dataclass
class Link:
    value: Mode | str
    next: Link | None = None


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (Choice, {"mode": "fast"}, Choice(Mode.FAST)),
        (Choice, {"mode": "odd", "level": 2, "note": "n"}, Choice("odd", 2, "n")),
        (list[Held], [{"_inner": {"mode": "fast"}, "tags": ["a"]}], [Held(Choice(Mode.FAST), ["a"])]),
        (Held, {"_inner": 3}, Held(3)),
        (Row, {}, {}),
        (Row, {"mode": "fast"}, {"mode": Mode.FAST}),
        (Two, ["fast"], Two(Mode.FAST)),
        (Two | None, ["x", 2], Two("x", 2)),
    ],
    ids=str,
)
def test_records_whose_fields_msgspec_does_not_take(annotation: Any, data: Any, value: Any) -> None:
    def function(item): ...

    function.__annotations__["item"] = annotation
    assert read(function).bind({"item": data})["item"] == value


@pytest.mark.parametrize(
    ("annotation", "data", "said"),
    [
        (Choice, {"mode": 3, "level": 0, "extra": 1}, "'item.level': expected int >= 1, got 0"),
        (Choice, {"level": 1}, "'item': object missing required field mode"),
        (Choice, {"mode": "fast", "extra": 1}, "'item.extra': unknown field"),
        (Choice, [1], "'item': expected object, got list [1]"),
        (list[Held], [{"_inner": {"mode": "fast"}, "tags": [3]}], "'item[0].tags[0]': expected str, got int 3"),
        (Two, ["fast", 1, 2], "'item': expected array of length 2 at most, got 3"),
        (Two, ["fast", "x"], "'item[1]': expected int, got str 'x'"),
    ],
    ids=str,
)
def test_such_records_say_what_is_wrong(annotation: Any, data: Any, said: str) -> None:
    def function(item): ...

    function.__annotations__["item"] = annotation
    with pytest.raises(ArgumentError) as caught:
        read(function).bind({"item": data})
    assert said in str(caught.value)


def test_such_a_record_that_holds_itself_is_an_error_at_declaration() -> None:
    def function(item: Link) -> None: ...

    with pytest.raises(DefinitionError, match="parameter 'item' of type Link"):
        read(function)


def test_such_a_record_shows_its_defaults() -> None:
    def function(item: Choice) -> None: ...

    assert read(function).schema["$defs"]["Choice"] == {
        "title": "Choice",
        "type": "object",
        "properties": {
            "mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "string"}]},
            "level": {"type": "integer", "minimum": 1, "default": 1},
            "note": {"type": "string", "default": "none"},
        },
        "required": ["mode"],
        "additionalProperties": False,
    }


# --- safety -----------------------------------------------------------------------------------------------------------

json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["item", "choice", "mode", "__class__"]), json_data, max_size=4))
def test_whatever_is_received_is_bound_or_refused(arguments: dict[str, Any]) -> None:
    def function(item: Choice | list[Held] | None, choice: Any = None, mode: Mode = Mode.FAST) -> None: ...

    try:
        bound = read(function).bind(arguments)
    except ArgumentError:
        return
    assert bound.keys() == arguments.keys()


@pytest.mark.parametrize("text", ["__import__('os').abort()", "Mode.FAST", "{'a': 1}", "[1, 2]", "null", "3"])
def test_received_text_is_never_evaluated_nor_decoded(text: str) -> None:
    def function(loose, typed: str, either: str | list[int] | None) -> None: ...

    arguments = {"loose": text, "typed": text, "either": text}
    assert read(function).bind(arguments) == arguments


def test_the_kernel_works_without_pydantic() -> None:
    code = """
        import sys
        from dataclasses import dataclass
        sys.modules["pydantic"] = None  # an import of it fails
        from hud_core.environment.environment import Environment

        @dataclass
        class Item:
            sku: str | int

        env = Environment("e")

        @env.tool
        def take(items: list[Item], mode: str | None = None) -> list[Item]:
            return items

        @env.scenario(returns=Item)
        async def ask(item: Item):
            answer = yield "?"
            yield answer.content == item

        task = env("ask", item=Item(3))
        assert task.args == {"item": {"sku": 3}}, task.args
        del sys.modules["pydantic"]
        assert not [name for name in sys.modules if name.startswith(("pydantic", "annotated_types"))]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


def test_what_a_function_returns_may_be_known_to_type_checkers_only() -> None:
    def function(text: str) -> OnlyForTypeCheckers: ...  # noqa: F821  that is the point

    assert Signature("tool 'x'", function).bind({"text": "a"}) == {"text": "a"}
