"""Descriptions out of docstrings: the summary, and a line for each parameter.

Google, NumPy and plain (``name: text`` or ``:param name: text``) styles are understood; what fits none is part of the
description. Sections about anything but parameters are left out of what a model reads.
"""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

_SECTIONS = "args|arguments|parameters|params|returns|return|yields|raises|examples?|notes?|attributes|see also|warns"
_GOOGLE = re.compile(rf"^({_SECTIONS}):\s*$", re.IGNORECASE)
_NUMPY = re.compile(rf"^({_SECTIONS})\s*$", re.IGNORECASE)
_SPHINX_PARAMETER = re.compile(r"^:(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_SPHINX_OTHER = re.compile(r"^:(?:type|returns?|rtype|raises?|yields?)\b.*:")
_ENTRY = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_ENTRY = re.compile(r"^\*{0,2}(\w+)\s*(?::.*)?$")
_PARAMETER_SECTIONS = ("args", "arguments", "parameters", "params")


class Documentation(NamedTuple):
    """What a docstring says."""

    description: str
    parameters: dict[str, str]


def read_docstring(docstring: str | None, names: frozenset[str]) -> Documentation:
    """Split a docstring into its description and what it says of the parameters called `names`."""
    reader = _Reader(names)
    lines = inspect.cleandoc(docstring or "").splitlines()
    for number, line in enumerate(lines):
        underline = lines[number + 1] if number + 1 < len(lines) else ""
        reader.read(line, underlined=len(underline) > 2 and not underline.strip("-="))  # noqa: PLR2004
    return Documentation("\n".join(reader.description).strip(), reader.finish())


class _Reader:
    """Reads a docstring line by line; `section` is None while the description goes on."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.description: list[str] = []
        self.parameters: dict[str, list[str]] = {}
        self.section: str | None = None
        self.style = _ENTRY
        self.indent = 0
        self.current: str | None = None

    def finish(self) -> dict[str, str]:
        return {name: " ".join(filter(None, lines)) for name, lines in self.parameters.items()}

    def read(self, line: str, *, underlined: bool) -> None:
        if underlined and (match := _NUMPY.match(line)):
            self._open(match[1], _NUMPY_ENTRY)
        elif match := _GOOGLE.match(line):
            self._open(match[1], _ENTRY)
        elif match := _SPHINX_PARAMETER.match(line):
            self._open("args", _ENTRY)
            self._start(match[1], match[2], indent=0)
        elif _SPHINX_OTHER.match(line):
            self._open("other", _ENTRY)
        elif self.section is None:
            self._describe(line)
        elif self.section in _PARAMETER_SECTIONS:
            self._parameter(line)

    def _open(self, section: str, style: re.Pattern[str]) -> None:
        self.section, self.style, self.current, self.indent = section.lower(), style, None, -1

    def _describe(self, line: str) -> None:
        """Take a line of the description; ``name: text`` with a parameter's name is that parameter's."""
        match = _ENTRY.match(line.lstrip("-* "))
        if match and match[1] in self.names and match[2]:
            self._start(match[1], match[2], indent=0)
            return
        self.description.append(line)

    def _parameter(self, line: str) -> None:
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if not text or not text.strip("-="):
            return
        if self.indent < 0:
            self.indent = indent
        match = self.style.match(text) if indent <= self.indent else None
        if match and match[1] in self.names:
            self._start(match[1], match[2] if self.style is _ENTRY else "", indent)
        elif self.current is not None:
            self.parameters[self.current].append(text)

    def _start(self, name: str, text: str, indent: int) -> None:
        self.current, self.indent = name, max(indent, 0)
        self.parameters[name] = [text]
