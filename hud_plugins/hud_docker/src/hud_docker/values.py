"""The values of options: each function reads one kind, and says what is wrong with a value and what would be right."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

from hud_core.errors import ConfigError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_CAPABILITY = re.compile(r"(?:CAP_)?([A-Z_]+)")
_PORT = re.compile(r"(?:(?:(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):)?(\d*):)?(\d+)(?:/(tcp|udp))?")
_UNLIMITED = ("none", "unlimited", "-1", -1, 0, "0")
MAX_PORT = 65535
LEAST_MEMORY = 6 << 20
"""Bytes of memory below which engines refuse."""


class WrongValueError(ConfigError):
    """An option has a value that cannot be right.

    Args:
        name: The option.
        problem: What it must be.
        value: The value; left out of the message where it may be secret.
    """

    def __init__(self, name: str, problem: str, value: object, *, is_secret: bool = False) -> None:
        shown = "" if value is None or is_secret else f", got {value!r}"
        super().__init__(f"{name} {problem}{shown}")


def text(name: str, value: object) -> str:
    """Read text that is not empty."""
    if not isinstance(value, str) or not value:
        raise WrongValueError(name, "must be text", value)
    return value


def path(name: str, value: object) -> str:
    """Read a path in the container."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise WrongValueError(name, "must be a path that begins with '/'", value)
    return value


def flag(name: str, value: object) -> bool:
    """Read yes or no."""
    if not isinstance(value, bool):
        raise WrongValueError(name, "must be true or false", value)
    return value


def text_or_flag(name: str, value: object) -> str | bool:
    """Read a file's name, or yes or no."""
    return value if isinstance(value, bool) else text(name, value)


def texts(name: str, value: object) -> dict[str, str]:
    """Read text by name; the values may be secret."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        raise WrongValueError(name, "must map names to text", value, is_secret=True)
    for key, item in value.items():
        if not isinstance(item, str):
            problem = f"must map names to text, and {key!r} is of type {type(item).__name__}"
            raise WrongValueError(name, problem, item, is_secret=True)
        if "=" in key or "\0" in key + item:
            raise WrongValueError(name, f"has {key!r}, which no variable can be called, or contain", None)
    return dict(value)


def listed(name: str, value: object) -> tuple[str, ...]:
    """Read a list of text; its items may be secret."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise WrongValueError(name, "must be a list of text", value, is_secret=True)
    items = tuple(value)
    if not all(isinstance(item, str) for item in items):
        raise WrongValueError(name, "must be a list of text", value, is_secret=True)
    return items


def command(name: str, value: object) -> tuple[str, ...]:
    """Read a command: a list of words, or text that a shell would split."""
    if isinstance(value, str):
        import shlex

        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise WrongValueError(name, f"cannot be split into words: {error}", value) from None
    return listed(name, value)


def mounts(name: str, value: object) -> tuple[str, ...]:
    """Read ``source:target[:mode]``."""
    return tuple(_mount(name, item) for item in listed(name, value))


def _mount(name: str, item: str) -> str:
    source, _, rest = item.partition(":")
    target, _, mode = rest.partition(":")
    if source.startswith("~"):
        import os.path

        source = os.path.expanduser(source)  # noqa: PTH111  text stays text: Path would lose a trailing slash
    if not source or not target.startswith("/"):
        raise WrongValueError(name, "must be 'source:/target' or 'source:/target:ro'", item)
    if not source.startswith("/") and ("/" in source or source.startswith(".")):
        problem = "need an absolute path (or a volume's name) as the source: what is relative to what is not known here"
        raise WrongValueError(name, problem, item)
    if not set(mode.split(",")) <= {"", "ro", "rw", "z", "Z", "cached", "delegated", "consistent"}:
        raise WrongValueError(name, "end in ':ro' or ':rw', if in anything", item)
    return ":".join(filter(None, (source, target, mode)))


def paths(name: str, value: object) -> tuple[str, ...]:
    """Read a list of absolute paths, each with what follows a colon."""
    items = listed(name, value)
    for item in items:
        path(name, item)
    return items


def ports(name: str, value: object) -> tuple[str, ...]:
    """Read what to publish: ``80``, ``8080:80``, ``0.0.0.0:8080:80/tcp``."""
    items = tuple(map(str, value)) if isinstance(value, list | tuple) else listed(name, value)
    for item in items:
        split_port(name, item)
    return items


def split_port(name: str, item: str) -> tuple[str, int, str]:
    """Read one: the address on this machine, the port there (0 for a free one), and the container's ``port/protocol``.

    Raises:
        WrongValueError: It is none.
    """
    match = _PORT.fullmatch(item)
    if match is None or not 0 < int(match[3]) <= MAX_PORT or int(match[2] or 0) > MAX_PORT:
        raise WrongValueError(name, "must be as '80', '8080:80' or '127.0.0.1:8080:80/tcp'", item)
    address = (match[1] or "127.0.0.1").strip("[]")
    return address, int(match[2] or 0), f"{match[3]}/{match[4] or 'tcp'}"


def port(name: str, value: object) -> int:
    """Read a port."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_PORT:
        raise WrongValueError(name, f"must be a whole number from 1 to {MAX_PORT}", value)
    return value


def amount(name: str, value: object) -> float:
    """Read a number above 0."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise WrongValueError(name, "must be a number above 0", value)
    return number


def seconds(name: str, value: object) -> float:
    """Read a number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise WrongValueError(name, "must be a number of seconds above 0", value)
    return float(value)


def count(name: str, value: object) -> int | None:
    """Read a limit of something that is counted; None for none."""
    if value in _UNLIMITED and not isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WrongValueError(name, "must be a whole number above 0, or 'unlimited'", value)
    return value


def pool(name: str, value: object) -> int:
    """Read a number of containers."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise WrongValueError(name, "must be a whole number, 0 for no pool", value)
    return value


def size(name: str, value: object) -> int | None:
    """Read a number of bytes, as ``512m``; None for no limit."""
    if value in _UNLIMITED and not isinstance(value, bool):
        return None
    match = (
        _SIZE.fullmatch(str(value).strip()) if isinstance(value, int | str) and not isinstance(value, bool) else None
    )
    if match is None:
        raise WrongValueError(name, "must be a number of bytes, as '512m' or '4g', or 'unlimited'", value)
    found = int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])
    if name == "memory" and found < LEAST_MEMORY:
        raise WrongValueError(name, "must be at least '6m', which is the least that engines take", value)
    return found


def gpus(name: str, value: object) -> str:
    """Read ``all``, a number, or ``device=0,2``; the last also as a list."""
    if isinstance(value, list | tuple) and value:
        value = "device=" + ",".join(map(str, value))
    said = str(value).strip('"') if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"all|[1-9]\d*|device=[\w,-]+", said):
        raise WrongValueError(name, "must be 'all', a number, or 'device=0,2'", value)
    return said


def capabilities(name: str, value: object) -> tuple[str, ...]:
    """Read names of capabilities, with or without ``CAP_``."""
    found = [_CAPABILITY.fullmatch(item.upper()) for item in listed(name, value)]
    if not all(found):
        raise WrongValueError(name, "must be a list of capabilities, as ['NET_RAW']", value)
    return tuple(match[1] for match in found if match)


def one_of(allowed: tuple[str, ...]) -> Callable[[str, object], str]:
    """Make what reads one of a few words."""

    def read(name: str, value: object) -> str:
        if value not in allowed or not isinstance(value, str):
            raise WrongValueError(name, f"must be {', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}", value)
        return value

    return read
