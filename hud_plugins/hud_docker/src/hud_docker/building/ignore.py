"""The rules of a ``.dockerignore`` file, as Docker reads them: the last pattern that matches decides."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

State = tuple[bool, ...]
"""For one path: which of the patterns match it, or a folder that it lies in."""


class Pattern(NamedTuple):
    """One line of the file."""

    text: str
    regex: re.Pattern[str]
    is_exception: bool


class IgnoreRules:
    """Says which paths of a build context are left out.

    Args:
        text: The content of the file.
        name: How messages name the file.

    Raises:
        ConfigError: A line is no pattern; the message names it.
    """

    def __init__(self, text: str, name: str = ".dockerignore") -> None:
        lines = text.removeprefix("\ufeff").splitlines()
        numbered = [(number, line) for number, line in enumerate(lines, 1) if not line.startswith("#") and line.strip()]
        self._patterns = [_pattern(line.strip(), f"{name}, line {number}") for number, line in numbered]
        exceptions = [pattern.text for pattern in self._patterns if pattern.is_exception]
        # Those without wildcards say which folders need a look although they are left out themselves.
        self._kept = [text for text in exceptions if not _WILD.search(text)]
        self._keeps_anywhere = len(self._kept) < len(exceptions)

    @property
    def root(self) -> State:
        """The state that the directory itself is in: no pattern matches it."""
        return (False,) * len(self._patterns)

    def below(self, state: State, path: str) -> State:
        """Say which patterns match a path, given those of the folder that it lies in."""
        pairs = zip(state, self._patterns, strict=True)
        return tuple(matches or pattern.regex.fullmatch(path) is not None for matches, pattern in pairs)

    def leaves_out(self, state: State) -> bool:
        """Whether a path in that state is left out."""
        for matches, pattern in zip(reversed(state), reversed(self._patterns), strict=True):
            if matches:
                return not pattern.is_exception
        return False

    def may_keep_below(self, folder: str) -> bool:
        """Whether an exception may bring back something inside a folder that is left out."""
        return self._keeps_anywhere or any(f"{text}/".startswith(f"{folder}/") for text in self._kept)


def rules_of(directory: Path, dockerfile: str) -> IgnoreRules:
    """Read the rules for a Dockerfile: those beside it, as ``Dockerfile.dockerignore``, come before the directory's.

    Raises:
        ConfigError: The file cannot be read, or a line is no pattern.
    """
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        try:
            return IgnoreRules((directory / name).read_text("utf-8"), name)
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {directory / name}: {error}") from error
    return IgnoreRules("")


_WILD = re.compile(r"[*?\[\\]")
# What a pattern is made of; a backslash takes the next sign as it is.
_PART = re.compile(
    r"(?P<any>\*\*/?)|(?P<many>\*)|(?P<one>\?)|\[(?P<not>\^)?(?P<set>(?:\\.|[^\]\\])+)\]|\\(?P<sign>.)|(?P<bad>[\[\\])"
)
_SIGN = re.compile(r"\\.|.", re.DOTALL)


def _pattern(line: str, where: str) -> Pattern:
    is_exception = line.startswith("!")
    text = line[is_exception:].strip()
    if not text:
        raise ConfigError(f"{where}: '!' must be followed by a pattern")
    text = posixpath.normpath(text).lstrip("/")
    try:
        return Pattern(text, re.compile(_regex(text), re.DOTALL), is_exception)
    except (re.error, ValueError) as error:
        raise ConfigError(f"{where}: {text!r} is no pattern: {error}") from error


def _regex(text: str) -> str:
    found, position = [], 0
    for part in _PART.finditer(text):
        found += [re.escape(text[position : part.start()]), _translated(part, is_last=part.end() == len(text))]
        position = part.end()
    return "".join(found) + re.escape(text[position:])


def _translated(part: re.Match[str], *, is_last: bool) -> str:
    if part["bad"]:
        msg = f"{part['bad']!r} at sign {part.start() + 1} has no end"
        raise ValueError(msg)
    if part["any"]:
        return ".*" if is_last else "(?:.*/)?"
    if part["set"]:
        signs = [re.escape(sign[-1]) if sign != "-" else sign for sign in _SIGN.findall(part["set"])]
        return f"[{'^' if part['not'] else ''}{''.join(signs)}]"
    if part["sign"]:
        return re.escape(part["sign"])
    return "[^/]*" if part["many"] else "[^/]"
