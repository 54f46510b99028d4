"""What models cost: read from ``prices.toml``, of this package and of the user."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from hud_core.errors import ConfigError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hud_core.model.rollout import Usage

BUILT_IN = Path(__file__).with_name("prices.toml")
MILLION = 1_000_000
DATE = re.compile(r"-20\d\d-?\d\d-?\d\d$")
"""What the names of a model's snapshots end with."""


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Dollars for a million tokens."""

    input: float
    output: float
    cache_read: float | None = None
    """For input that came out of the provider's cache; as other input where it is None."""
    cache_write: float | None = None
    """For input that was written to the provider's cache; as other input where it is None."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "cache_read", "cache_write"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < MILLION:
                raise ValueError(f"{name} must be dollars for a million tokens, got {value}")

    def cost(self, usage: Usage) -> float:
        """Give what a call cost, in dollars."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        dollars = fresh * self.input + usage.cached_tokens * read + usage.cache_write_tokens * write
        return (dollars + usage.output_tokens * self.output) / MILLION


class Price(Rate, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model costs."""

    long: Rate | None = None
    """For calls with more than `long_above` input tokens, where they have another price."""
    long_above: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.long is None) != (self.long_above is None):
            raise ValueError("long and long_above need each other")

    def cost(self, usage: Usage) -> float:
        """Give what a call cost, in dollars."""
        if self.long is not None and usage.input_tokens > (self.long_above or 0):
            return self.long.cost(usage)
        return super().cost(usage)

    def most(self, tokens: Usage) -> float:
        """Give what a call costs at the most: all of its input may be written to the cache."""
        return max(self.cost(tokens), self.cost(replace(tokens, cache_write_tokens=tokens.input_tokens)))


class PriceFile(NamedTuple):
    """The prices of one file, by patterns of model names."""

    path: Path
    models: dict[str, Price]

    def find(self, model: str) -> Price | None:
        """Give the price of a model: of its name, of its name without a date, or of the longest pattern that fits."""
        for name in (model, DATE.sub("", model)):
            if name in self.models:
                return self.models[name]
        fitting = [pattern for pattern in self.models if fnmatchcase(model, pattern)]
        return self.models[max(fitting, key=len)] if fitting else None


class Prices:
    """What models cost. The files are read when a price is first asked for.

    A file of the user's counts before the one of this package: the given one or else ``HUD_PRICES``, then
    ``~/.hud/prices.toml``.

    Args:
        file: A file of prices.
        environ: The process environment by default.

    Raises:
        ConfigError: A file that was named does not exist, or one holds what it may not.
    """

    def __init__(self, file: Path | str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._file = file
        self._environ = os.environ if environ is None else environ
        self._own: list[PriceFile] | None = None
        self._built_in: PriceFile | None = None
        self._found: dict[str, Price | None] = {}

    def check(self) -> None:
        """Read the user's files now, so that a mistake in them shows before anything runs.

        Raises:
            ConfigError: There is one.
        """
        self._own = [read_prices(path) for path in self._paths()]

    def find(self, model: str) -> Price | None:
        """Give the price of a model; None where it is not known."""
        if model not in self._found:
            self._found[model] = self._find(model)
        return self._found[model]

    def cost(self, models: Iterable[str], usage: Usage) -> float | None:
        """Give what a call cost; None where no price is known.

        Args:
            models: Names of the model that was called; the first with a price counts.
            usage: What the call used. Without any tokens it is not known what it used.
        """
        for model in models:
            price = self.find(model) if usage.tokens else None
            if price is not None:
                return price.cost(usage)
        return None

    def require(self, model: str) -> Price:
        """Give the price of a model.

        Raises:
            ConfigError: It is not known; the message says how to give it.
        """
        price = self.find(model)
        if price is None:
            raise ConfigError(
                f"the price of model {model!r} is not known, so a budget in dollars cannot be kept: give it in "
                f'~/.hud/prices.toml, or in a file named by --prices or HUD_PRICES, as [models."{model}"] with input = '
                "and output = in dollars for a million tokens; or limit tokens instead"
            )
        return price

    def _find(self, model: str) -> Price | None:
        if self._own is None:
            self.check()
        if self._built_in is None:
            self._built_in = read_prices(BUILT_IN)
        files = [*(self._own or ()), self._built_in]
        return next((price for file in files if (price := file.find(model)) is not None), None)

    def _paths(self) -> list[Path]:
        named = self._file or self._environ.get("HUD_PRICES")
        own = Path.home() / ".hud" / "prices.toml"
        return [*([Path(named)] if named else []), *([own] if own.is_file() else [])]


def read_prices(path: Path) -> PriceFile:
    """Read a file of prices.

    Raises:
        ConfigError: There is no such file, or it holds what it may not; the message names the place.
    """
    import tomllib

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read prices from {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no valid TOML: {error}") from error
    known = ("date", "source", "models")
    if unknown := [key for key in data if key not in known]:
        meant = closest(unknown[0], known)
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}{meant}; there are {', '.join(known)}")
    models = data.get("models", {})
    if not isinstance(models, dict):
        raise ConfigError(f"{path}: models must be a table, got {models!r}")
    return PriceFile(path, {name: _price(path, name, entry) for name, entry in models.items()})


def _price(path: Path, name: str, entry: Any) -> Price:  # noqa: ANN401  whatever the file holds
    try:
        return msgspec.convert(entry, Price)
    except msgspec.ValidationError as error:
        raise ConfigError(f'{path}: models."{name}": {error}') from error
