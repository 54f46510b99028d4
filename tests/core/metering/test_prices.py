from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core.errors import ConfigError
from hud_core.metering.prices import BUILT_IN, Prices, read_prices
from hud_core.model.rollout import NO_USAGE, Usage


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HUD_PRICES", raising=False)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def one(name: str, price: float) -> str:
    return f'[models]\n"{name}" = {{ input = {price}, output = {price} }}\n'


def test_the_built_in_prices_say_their_date_and_sources() -> None:
    data = tomllib.loads(BUILT_IN.read_text("utf-8"))
    assert date.fromisoformat(data["date"]) > date(2026, 1, 1)
    assert all(source.startswith("https://") for source in data["source"])
    models = read_prices(BUILT_IN).models
    for name, price in models.items():
        assert 0 < price.input <= price.output, name
        assert price.cache_read is None or price.cache_read < price.input, name
        assert price.cache_write is None or price.cache_write > price.input, name
    assert {"gpt-5", "claude-sonnet-4-5", "gemini-2.5-pro"} <= models.keys()


def test_what_a_call_costs(home: Path) -> None:
    prices = Prices()
    usage = Usage(input_tokens=1000, cached_tokens=400, cache_write_tokens=100, output_tokens=10)
    expected = (500 * 3 + 400 * 0.3 + 100 * 3.75 + 10 * 15) / 1_000_000
    assert prices.cost(["claude-sonnet-4-5"], usage) == pytest.approx(expected)
    assert prices.cost(["nobody", "gpt-4o"], Usage(input_tokens=10)) == pytest.approx(25e-6)


def test_a_long_prompt_has_a_price_of_its_own(home: Path) -> None:
    price = Prices().require("gemini-2.5-pro")
    assert price.cost(Usage(input_tokens=200_000)) == pytest.approx(0.25)
    assert price.cost(Usage(input_tokens=200_001)) == pytest.approx(0.5000025)


def test_a_name_with_a_date_costs_what_the_name_costs(home: Path) -> None:
    prices = Prices()
    for name, plain in (("gpt-5-2025-08-07", "gpt-5"), ("claude-haiku-4-5-20251001", "claude-haiku-4-5")):
        assert prices.find(name) == prices.require(plain)
    assert prices.require("gpt-4o-2024-05-13").input == 5  # which has an entry of its own
    assert prices.find("gpt-5-turbo") is None
    assert prices.find("my-gpt-5") is None


def test_what_is_not_known_costs_an_unknown_amount(home: Path) -> None:
    prices = Prices()
    assert prices.cost(["nobody"], Usage(input_tokens=1)) is None
    assert prices.cost(["gpt-5"], Usage(calls=1)) is None  # the endpoint did not say what it used
    with pytest.raises(ConfigError, match=r"'nobody' is not known.*\[models\.\"nobody\"\].*limit tokens"):
        prices.require("nobody")


def test_files_of_the_user_count_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / ".hud" / "prices.toml", one("gpt-5", 1) + '"mine-*" = { input = 1, output = 1 }\n')
    assert Prices().require("gpt-5").input == 1
    assert Prices().require("gpt-4o").input == 2.5
    monkeypatch.setenv("HUD_PRICES", str(write(home / "named.toml", one("gpt-5", 2))))
    assert Prices().require("gpt-5").input == 2
    assert Prices().require("mine-7b").input == 1
    given = write(home / "given.toml", one("gpt-*", 3))
    assert Prices(given).require("gpt-5").input == 3
    assert Prices(given).require("gpt-4o").input == 3


def test_the_longest_pattern_that_fits_counts(tmp_path: Path) -> None:
    file = write(
        tmp_path / "p.toml", one("*", 1) + '"lla*" = {input = 2, output = 2}\n"llama-70b" = {input=3, output=3}\n'
    )
    prices = Prices(file, environ={})
    assert [prices.require(name).input for name in ("qwen", "llama-8b", "llama-70b")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = [", "no valid TOML"),
        ("model = {}", "unknown key 'model'; did you mean 'models'?"),
        ("models = 5", "models must be a table"),
        ('[models."m"]\ninput = 1', r'models\."m": .*`output`'),
        ('[models."m"]\ninput = "1"\noutput = 1', r"got `str` - at `\$\.input`"),
        ('[models."m"]\ninput = 1\noutput = -1', "output must be dollars for a million tokens, got -1"),
        ('[models."m"]\ninput = 1\noutput = nan', "output must be dollars"),
        ('[models."m"]\ninput = 1\noutput = 1\ncached = 1', "unknown field `cached`"),
        ('[models."m"]\ninput = 1\noutput = 1\nlong_above = 5', "long and long_above need each other"),
        ("[models]\nm = 5", r'models\."m": Expected `object`'),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / "mine.toml", text)
    with pytest.raises(ConfigError, match=said) as raised:
        Prices(file, environ={}).check()
    assert str(file) in str(raised.value)


def test_a_file_that_was_named_must_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"cannot read prices from .*gone\.toml: No such file"):
        Prices(home / "gone.toml").check()
    monkeypatch.setenv("HUD_PRICES", str(home))
    with pytest.raises(ConfigError, match="cannot read prices from"):
        Prices().check()


costs = st.none() | st.floats(0, 100)
usages = st.builds(Usage, calls=st.integers(0, 5), input_tokens=st.integers(0, 999), cost=costs)


@given(st.lists(usages))
def test_a_sum_is_unknown_when_a_part_is(parts: list[Usage]) -> None:
    whole = sum(parts, NO_USAGE)
    is_known = all(part.cost is not None or not (part.calls or part.tokens) for part in parts)
    assert (whole.cost is not None) == is_known
    assert whole.tokens == sum(part.tokens for part in parts)
    if whole.cost is not None:
        assert whole.cost == pytest.approx(sum(part.cost or 0.0 for part in parts))
