"""Values that people write: options, lists, templates, and what of them is a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud.cli.evaluate.values import MASK, mask, parse_list, parse_pair, parse_value, parse_variants, resolve, unmask
from hud_core import ConfigError

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("1", 1), ("-2", -2), ("0.5", 0.5), (".5", 0.5),
        ("1e3", 1000.0),
        ("[1, 2]", [1, 2]), ('{"a": 1}', {"a": 1}), ('"1"', "1"), ("gpt-5", "gpt-5"), ("", ""), ("NaN", "NaN"),
        ("inf", "inf"), ("-Infinity", "-Infinity"), ("[1, NaN]", "[1, NaN]"), ("1,2", "1,2"), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_a_value_is_what_it_looks_like(text: str, value: object) -> None:
    found = parse_value(text)
    assert (found, type(found)) == (value, type(value))


@given(JSON)
def test_every_json_value_can_be_written(value: Any) -> None:
    assert parse_value(json.dumps(value)) == value


@given(st.text())
def test_any_text_is_a_value(text: str) -> None:
    parse_value(text)


@pytest.mark.parametrize("pair", ["", "=", "=1", "words", " =1"])
def test_a_pair_needs_a_key(pair: str) -> None:
    with pytest.raises(ConfigError, match="-c takes KEY=VALUE"):
        parse_pair(pair, "-c")


def test_variants_are_lists_of_choices() -> None:
    assert parse_variants(["t=0,0.5,hot", "m=[1, 2]", "s=x"]) == {"t": [0, 0.5, "hot"], "m": [1, 2], "s": ["x"]}


def test_lists_are_split_at_commas() -> None:
    assert parse_list(" a, b,,c ") == ["a", "b", "c"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_templates_are_filled_in_at_any_depth(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "me")
    (home / ".env").write_text("WHERE=here\n", "utf-8")
    value = {"a": ["${WHO}-${WHERE}", 1], "b": {"c": "${NOBODY:else}${NOBODY:}"}}
    assert resolve(value, "x") == {"a": ["me-here", 1], "b": {"c": "else"}}


def test_a_variable_that_is_not_set_is_named_with_its_place(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"claude\.headers\.key needs the environment variable NOBODY"):
        resolve({"headers": {"key": "${NOBODY}"}}, "claude")


@pytest.mark.parametrize(
    "key",
    ["api_key", "API_KEY", "apikey", "token", "hf_token", "password", "client_secret", "Authorization", "x-api-key"],
)
def test_secrets_are_masked(key: str) -> None:
    assert mask({key: "s", "deep": {key: "s"}, "more": [1]}) == {key: MASK, "deep": {key: MASK}, "more": [1]}
    assert unmask(mask({key: "s", "deep": {key: "s", "x": 1}})) == ({"deep": {"x": 1}}, [key, f"deep.{key}"])
    assert mask({key: ["s", "t"]}) == {key: MASK}
    assert unmask(mask({"list": [{key: "s"}], "x": 1})) == ({"x": 1}, ["list"])


@pytest.mark.parametrize("key", ["max_tokens", "model", "keyboard", "tokenizer", "max_output_tokens"])
def test_what_only_sounds_like_a_secret_is_kept(key: str) -> None:
    assert mask({key: 5}) == {key: 5}


def test_all_headers_and_queries_may_be_secrets() -> None:
    deep = {"completion_kwargs": {"extra_headers": {"X-Tenant": "s", "X-Own": "${OWN}"}, "extra_query": {"v": "s"}}}
    hidden = {"completion_kwargs": {"extra_headers": {"X-Tenant": MASK, "X-Own": "${OWN}"}, "extra_query": {"v": MASK}}}
    assert mask(deep) == hidden
    assert mask({"base_url": "https://host/v1?v=1&key=s", "docs": "https://host/?v=1"}) == {
        "base_url": MASK,
        "docs": "https://host/?v=1",
    }


def test_a_template_is_no_secret_but_a_text_around_one_may_be() -> None:
    assert mask({"api_key": "${KEY}", "token": "sk-${KEY}"}) == {"api_key": "${KEY}", "token": MASK}


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_what_is_no_secret_comes_back(options: dict[str, Any]) -> None:
    masked = mask(options)
    kept, hidden = unmask(masked)
    if masked == options and MASK not in json.dumps(options):
        assert (kept, hidden) == (options, [])
