"""Values that people write as text: ``K=V`` pairs, lists, templates; and which of them are secrets."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from hud_core.errors import ConfigError
from hud_core.settings import is_confidential, is_secret_option
from hud_core.templates import expand, is_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASK = "***"


def parse_value(text: str) -> Any:  # noqa: ANN401  an option is of any type
    """Read ``true``, numbers and JSON as what they are, and anything else as text."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def parse_pair(pair: str, option: str) -> tuple[str, str]:
    """Split ``K=V``.

    Raises:
        ConfigError: It is none.
    """
    key, equals, value = pair.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{option} takes KEY=VALUE, got {pair!r}")
    return key.strip(), value


def parse_variants(pairs: Iterable[str]) -> dict[str, list[Any]]:
    """Read ``K=A,B`` as choices; a JSON list such as ``K=[1, 2]`` too."""
    found = {}
    for pair in pairs:
        key, value = parse_pair(pair, "--variant")
        whole = parse_value(value)
        found[key] = whole if isinstance(whole, list) else [parse_value(part.strip()) for part in value.split(",")]
    return found


def parse_list(text: str) -> list[str]:
    """Split ``a,b``; empty parts are dropped."""
    return [part.strip() for part in text.split(",") if part.strip()]


def resolve(value: Any, where: str) -> Any:  # noqa: ANN401  as above
    """Fill in ``${VAR}`` and ``${VAR:default}``, at any depth, from the environment or a ``.env`` file.

    Raises:
        ConfigError: A variable is not set, and there is no default.
    """
    if isinstance(value, dict):
        return {key: resolve(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [resolve(inner, where) for inner in value]
    return expand(value, where) if isinstance(value, str) else value


def mask(options: Mapping[str, Any]) -> dict[str, Any]:
    """Hide secrets, at any depth, so that options can be stored; templates are none."""
    return {key: _masked(key, value) for key, value in options.items()}


def _masked(key: str, value: Any) -> Any:  # noqa: ANN401  as above
    if isinstance(value, dict):
        return {name: _masked(key if is_confidential(key) else name, inner) for name, inner in value.items()}
    if is_secret_option(key, value) and value is not None and not (isinstance(value, str) and is_template(value)):
        return MASK
    return [_masked(key, item) for item in value] if isinstance(value, list) else value


def unmask(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Drop what was hidden, and name it."""
    kept: dict[str, Any] = {}
    hidden: list[str] = []
    for key, value in options.items():
        if value == MASK or (isinstance(value, list) and f'"{MASK}"' in json.dumps(value)):
            hidden.append(key)
        elif isinstance(value, dict):
            kept[key], inner = unmask(value)
            hidden += [f"{key}.{name}" for name in inner]
        else:
            kept[key] = value
    return kept, hidden
