"""Providers by name: unknown names get a useful answer, options are checked, models find their agent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.errors import ConfigError, DuplicateProviderError, UnknownProviderError
from hud_core.providers import Command, Provider
from hud_core.registry import Registry


class Thing:
    def __init__(self, size: int = 1, *, colour: str = "red") -> None:
        self.size = size
        self.colour = colour


def registry(*providers: tuple[str, str], models: dict[str, tuple[str, ...]] | None = None) -> Registry[Any]:
    found = [(Provider(name, lambda: Thing, "", (models or {}).get(name, ())), source) for name, source in providers]
    return Registry("agent", found)


def message(call: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_an_unknown_name_says_what_is_installed_and_the_closest() -> None:
    said = message(lambda: registry(("parrot", "a 1"), ("owl", "b 1"))["parot"], UnknownProviderError)
    assert said == "no agent 'parot' is installed; did you mean 'parrot'?; installed: owl, parrot"


def test_an_unknown_model_lists_the_kinds_of_models_that_are_near() -> None:
    some = registry(("owl", "a 1"), ("parrot", "b 1"), models={"owl": ("gpt-*", "o3*"), "parrot": ("claude-*", "*")})
    assert "did you mean a model like 'gpt-*'?" in message(lambda: some["gtp-5.4"], UnknownProviderError)
    assert "did you mean a model like 'claude-*'?" in message(lambda: some["cluade-sonnet"], UnknownProviderError)
    far = "did you mean a model like 'gemini-*' (pip install hud-gemini)?"  # which no installed agent runs
    assert far in message(lambda: some["gimini-2.5-pro"], UnknownProviderError)
    assert "did you mean" not in message(lambda: some["zebra-1"], UnknownProviderError)


def test_a_well_known_name_says_what_to_install() -> None:
    assert "pip install hud-anthropic" in message(lambda: registry()["claude"], UnknownProviderError)
    assert message(lambda: registry()["zzz"], UnknownProviderError) == "no agent 'zzz' is installed; installed: none"


def test_an_unknown_name_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        registry()["x"]


def test_it_is_a_mapping() -> None:
    some = registry(("parrot", "a 1"), ("owl", "b 1"))
    assert list(some) == ["parrot", "owl"]
    assert len(some) == 2
    assert "owl" in some
    assert some.get("owl") is some["owl"]
    assert some.get("nope") is None
    assert some.get("nope", 3) == 3
    assert [name for name, _ in some.items()] == list(some)


def test_a_name_that_two_provide_leaves_the_mapping_usable() -> None:
    some = registry(("owl", "a 1"), ("parrot", "a 1"), ("owl", "b 2"), ("owl", "c 3"))
    assert list(some.items()) == [("parrot", some["parrot"])]
    assert len(some) == 1
    assert "owl" not in some
    assert some.get("owl") is None
    assert "a 1 and b 2 and c 3" in message(lambda: some["owl"], DuplicateProviderError)
    assert [sources for sources, _ in some.clashes] == ["a 1 and b 2 and c 3"]


def test_create_gives_the_options() -> None:
    made = registry(("thing", "a 1")).create("thing", size=3, colour="blue")
    assert (made.size, made.colour) == (3, "blue")


@pytest.mark.parametrize("options", [{"colr": "blue"}, {"size": 2, "nmae": 1}])
def test_an_unknown_option_is_a_config_error_that_lists_the_known(options: dict[str, Any]) -> None:
    said = message(lambda: registry(("thing", "a 1")).create("thing", **options), ConfigError)
    assert said.startswith("agent 'thing': got an unexpected keyword argument")
    assert said.endswith("its options are size, colour")


def test_a_class_without_options_says_so() -> None:
    some: Registry[Any] = Registry("agent", [(Provider("bare", lambda: type("Bare", (), {})), "a 1")])
    assert "its options are none" in message(lambda: some.create("bare", model="x"), ConfigError)


def test_a_missing_option_is_a_config_error() -> None:
    def make(path: str) -> str:
        return path

    some = Registry("task source", [(Provider("needs", lambda: make), "a 1")])
    assert "missing a required argument: 'path'" in message(lambda: some.create("needs"), ConfigError)
    assert some.create("needs", path="p") == "p"


def test_an_error_inside_the_factory_comes_out_as_it_is() -> None:
    def make(**options: object) -> None:
        msg = "got an unexpected keyword argument of my own"
        raise TypeError(msg)

    some = Registry("agent", [(Provider("own", lambda: make), "a 1")])
    assert message(lambda: some.create("own", anything=1), TypeError) == "got an unexpected keyword argument of my own"


def test_a_factory_without_a_signature_is_called() -> None:
    some = Registry("agent", [(Provider("dict", lambda: dict), "a 1")])
    assert some.create("dict", a=1) == {"a": 1}


def test_the_most_specific_pattern_finds_the_agent() -> None:
    models = {"any": ("*",), "claude": ("claude-*",), "sonnet": ("claude-sonnet-*", "exact-1")}
    some = registry(*((name, "a 1") for name in models), models=models)

    def find(model: str) -> str | None:
        provider = some.for_model(model)
        return provider and provider.name

    assert find("claude-sonnet-4-5") == "sonnet"
    assert find("claude-opus-4") == "claude"
    assert find("exact-1") == "sonnet"
    assert find("exact-12") == "any"
    assert registry(("claude", "a 1"), models=models).for_model("gpt") is None


def test_of_equal_patterns_the_first_name_counts_whatever_the_order() -> None:
    models = {"b": ("x-*",), "a": ("x-*",)}
    for order in (("a", "b"), ("b", "a")):
        found = registry(*((name, name) for name in order), models=models).for_model("x-1")
        assert found is not None
        assert found.name == "a"


def test_a_model_whose_agent_two_provide_is_an_error() -> None:
    models = {"owl": ("owl-*",)}
    some = registry(("owl", "a 1"), ("owl", "b 2"), models=models)
    assert "a 1 and b 2" in message(lambda: some.for_model("owl-7"), DuplicateProviderError)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@given(st.lists(st.tuples(NAMES, st.sampled_from(["a 1", "b 2", "c 3"])), max_size=12), NAMES)
def test_any_registry_is_consistent(pairs: list[tuple[str, str]], asked: str) -> None:
    some = registry(*pairs)
    names = [name for name, _ in pairs]
    unique = {name for name in names if names.count(name) == 1}
    assert set(some) == unique
    assert len(some) == len(unique)
    assert len(list(some.values())) == len(unique)
    assert all(some.source(name) == dict(pairs)[name] for name in unique)
    assert len(some.clashes) == len(set(names)) - len(unique)
    kind = DuplicateProviderError if asked in names else UnknownProviderError
    if asked not in unique:
        assert repr(asked) in message(lambda: some[asked], kind)


def test_a_command_of_a_module_is_imported_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "def configure(parser): parser.add_argument('n', type=int)\ndef run(arguments): return arguments.n\n"
    tmp_path.joinpath("counting_command.py").write_text(body, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    command = Command.from_module("count", "count", "counting_command")
    assert "counting_command" not in sys.modules
    parser = argparse.ArgumentParser()
    command.configure(parser)
    assert command.run(parser.parse_args(["7"])) == 7
    del sys.modules["counting_command"]
