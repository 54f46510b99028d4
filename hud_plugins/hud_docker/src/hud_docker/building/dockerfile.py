"""What a Dockerfile says, without building it: its instructions, where they stand, and the variables of the image."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


class Instruction(NamedTuple):
    """One instruction, with its continuation lines joined.

    Args:
        line: The number of its first line, from 1.
        keyword: In capitals, as ``RUN``.
        value: What stands behind the keyword.
    """

    line: int
    keyword: str
    value: str


class Dockerfile:
    """A Dockerfile, read.

    Args:
        text: Its content.
    """

    def __init__(self, text: str) -> None:
        self.instructions = list(_instructions(text.removeprefix("\ufeff")))
        self.stages = _stages(self.instructions)

    @classmethod
    def read(cls, path: Path) -> Dockerfile:
        """Read a file.

        Raises:
            ConfigError: It cannot be read, or is no text.
        """
        try:
            return cls(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {path}: {error}") from error

    @property
    def arguments(self) -> dict[str, str | None]:
        """The names of its ``ARG`` instructions, with the last default of each."""
        found: dict[str, str | None] = {}
        for instruction in self.instructions:
            if instruction.keyword == "ARG":
                found |= {name: default for name, default in map(_halves, _words(instruction.value)) if name}
        return found

    def base_image(self, build_args: Mapping[str, str]) -> str | None:
        """Name the image that the last stage begins with, through the stages it is made from."""
        if not self.stages:
            return None
        base = self._lineage()[-1].base
        defaults = {name: value or "" for name, value in self.arguments.items()}
        return _VARIABLE.sub(lambda match: _filled(match, defaults | dict(build_args)), base)

    def variables(self) -> tuple[list[str], list[str]]:
        """Name the image's variables that must be given, and those that have a value.

        One must be given that is set to nothing (``ENV KEY=``), or to a build argument without a default.
        """
        required: dict[str, bool] = {}
        unset = {name for name, default in self.arguments.items() if not default}
        for stage in reversed(self._lineage()):
            for instruction in stage.instructions:
                if instruction.keyword == "ENV":
                    required |= {name: _is_empty(value, unset) for name, value in _pairs(instruction.value)}
        return sorted(name for name, is_ in required.items() if is_), sorted(
            n for n, is_ in required.items() if not is_
        )

    def _lineage(self) -> list[Stage]:
        """Give the last stage and those it is made from, last first."""
        found: list[Stage] = []
        position: int | None = len(self.stages) - 1 if self.stages else None
        while position is not None:
            found.append(self.stages[position])
            names = [stage.name for stage in self.stages[:position]]
            base = found[-1].base.lower()
            position = max((number for number, name in enumerate(names) if name and name == base), default=None)
        return found


class Stage(NamedTuple):
    """What begins with a ``FROM``."""

    base: str
    name: str
    instructions: list[Instruction]


def _stages(instructions: Sequence[Instruction]) -> list[Stage]:
    found: list[Stage] = []
    for instruction in instructions:
        if instruction.keyword == "FROM":
            words = [word for word in instruction.value.split() if not word.startswith("--")] or [""]
            name = words[2].lower() if words[1:2] and words[1].lower() == "as" and words[2:] else ""
            found.append(Stage(words[0], name, []))
        elif found:
            found[-1].instructions.append(instruction)
    return found


_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_HEREDOC = re.compile(r"<<(-?)\s*([\"']?)([A-Za-z_]\w*)\2")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?[^}]*\}|(\w+))")


def _instructions(text: str) -> Iterator[Instruction]:
    lines = text.splitlines()
    escape = _escape(lines)
    position = 0
    while position < len(lines):
        first = position
        parts: list[str] = []
        while position < len(lines):
            line = lines[position].strip()
            position += 1
            if not line or line.startswith("#"):  # also between continuation lines
                if parts:
                    continue
                break
            parts.append(line.removesuffix(escape).rstrip())
            if not line.endswith(escape):
                break
        if not parts:
            continue
        keyword, _, value = " ".join(parts).partition(" ")
        if keyword.upper() in {"RUN", "COPY", "ADD"}:
            position = _behind_heredocs(lines, position, value)
        yield Instruction(first + 1, keyword.upper(), value.strip())


def _escape(lines: Sequence[str]) -> str:
    """Find the sign that continues a line: a directive at the very top may choose a backtick."""
    for line in lines:
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            break
        if match[1].lower() == "escape":
            return match[2]
    return "\\"


def _behind_heredocs(lines: Sequence[str], position: int, value: str) -> int:
    """Give the position behind the inline documents that an instruction opens; one without an end is none."""
    for dash, _, word in _HEREDOC.findall(value):
        for number in range(position, len(lines)):
            if (lines[number].lstrip("\t") if dash else lines[number]) == word:
                position = number + 1
                break
    return position


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # a quote without its end: the build will say so
        return value.split()


def _halves(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    return name, value if equals else None


def _pairs(value: str) -> list[tuple[str, str]]:
    """Read ``KEY=value KEY=value``, and the old form ``KEY value``."""
    words = _words(value)
    if words and "=" not in words[0]:
        return [(words[0], " ".join(words[1:]))]
    return [(name, text or "") for name, text in map(_halves, words)]


def _is_empty(value: str, unset: set[str]) -> bool:
    match = _VARIABLE.fullmatch(value)
    return not value or (match is not None and not match[2] and (match[1] or match[3]) in unset)


def _filled(match: re.Match[str], values: Mapping[str, str]) -> str:
    return values.get(match[1] or match[3]) or match[2] or ""
