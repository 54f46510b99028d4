"""Templates: text with ``${VAR}`` in it, which stays as it is until the moment of use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hud_core.errors import ConfigError
from hud_core.settings import FIELDS, is_secret, settings

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_BRACED: Final = re.compile(rf"\$\{{({_NAME})(?::-?((?:[^{{}}]|\{{[^{{}}]*\}})*))?\}}")
"""A variable with its default, in which one more pair of braces may stand: ``${A:${B}}``, ``${A:{"b": 1}}``."""
_ANY: Final = re.compile(rf"{_BRACED.pattern}|\$({_NAME})")
_NAMED: Final = re.compile(rf"\$\{{?({_NAME})")
_SHORTEST: Final = 4
"""Characters of a secret that is looked for; a shorter one stands in texts by chance."""
_DEFAULTS: Final = {variable: str(default) for variable, default in FIELDS.values() if isinstance(default, str)}


def expand(text: str, what: str, *, bare: bool = False) -> str:
    """Replace ``${VAR}``, and ``${VAR:default}`` or ``${VAR:-default}``, by the variable's value, taken as it is.

    Variables are looked up as settings are: in the process environment, then in ``.env`` files; a setting that has a
    default, such as ``HUD_API_URL``, is never missing. Any other ``$`` is text.

    Args:
        text: The template.
        what: What the text is part of, for the message.
        bare: Whether ``$VAR`` is replaced, too, where such a variable is set.

    Raises:
        ConfigError: A variable is not set, or empty, and has no default.
    """
    if "$" not in text:
        return text
    return (_ANY if bare else _BRACED).sub(lambda match: _value(match, what), text)


def _value(match: re.Match[str], what: str) -> str:
    name, default = match[1], match[2]
    if name is None:  # `$VAR`: text, unless there is such a variable
        return settings.lookup(match[3]) or match[0]
    found = settings.lookup(name)
    if found is not None:
        return found
    if default is not None:
        return expand(default, what)
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    msg = f"{what} needs the environment variable {name}; set it, or put it into ./.env"
    raise ConfigError(msg)


def braced(text: str) -> str:
    """Write ``$VAR`` as ``${VAR:$VAR}``, which means the same to `expand` without `bare`."""
    return _ANY.sub(lambda match: f"${{{match[3]}:${match[3]}}}" if match[3] else match[0], text)


def is_template(text: str) -> bool:
    """Whether a text is one ``${VAR}`` and nothing else, so that it holds no value itself unless as its default."""
    return _BRACED.fullmatch(text) is not None


def secrets_in(templates: Iterable[str]) -> tuple[str, ...]:
    """Name the variables of templates that are called like secrets, those of defaults among them."""
    return tuple(dict.fromkeys(name for text in templates for name in _NAMED.findall(text) if is_secret(name)))


def hidden(text: str, names: Iterable[str]) -> str:
    """Put ``${NAME}`` wherever a text holds the value of one of these variables."""
    found = ((settings.lookup(name) or "", name) for name in names)
    for value, name in sorted(found, key=lambda pair: -len(pair[0])):  # one may be a part of another
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"${{{name}}}")
    return text
