"""Descriptions out of docstrings: the text that a model reads, and a line for each parameter.

Google, NumPy, Sphinx (``:param name: text``) and plain (``name: text``) styles are understood; what fits none is part
of the description. What only concerns Python code, such as the exceptions that are raised, is left out of it.
"""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

_PARAMETERS = frozenset({"args", "arguments", "parameters", "params", "other parameters", "keyword args"})
_DROPPED = frozenset({"raises", "yields", "attributes", "warns", "see also", "references", "todo"})

_HEADER = re.compile(r"^([A-Za-z][A-Za-z ]*):\s*$")
_UNDERLINE = re.compile(r"^[-=]{3,}\s*$")
_SPHINX_PARAMETER = re.compile(r"^:(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_SPHINX_OTHER = re.compile(r"^:(?:type|rtype|raises?|yields?|var|ivar)\b[^:]*:")
_ENTRY = re.compile(r"^\*{0,2}(?P<names>\w+)\s*(?:\(.*?\))?\s*:(?:\s+(?P<text>.*))?$")
_NUMPY_ENTRY = re.compile(r"^(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")


class Documentation(NamedTuple):
    """What a docstring says."""

    description: str
    parameters: dict[str, str]


def read_docstring(docstring: str | None, names: frozenset[str]) -> Documentation:
    """Split a docstring into its description and what it says of the parameters called `names`."""
    reader = _Reader(names)
    lines = inspect.cleandoc(docstring or "").splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        reader.read(line, is_underlined=bool(_UNDERLINE.match(following)) and line.strip() != "")
    return reader.finish()


class _Reader:
    """Reads a docstring line by line."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.description: list[str] = []
        self.parameters: dict[str, list[str]] = {}
        self.section = ""
        """Where the line is: in the description (empty), in ``parameters``, or in what is ``dropped``."""
        self.is_numpy = False
        self.indent = 0
        """How far the entries of the section are indented."""
        self.current: tuple[str, ...] = ()
        """The parameters that the last entry was about; lines further in go on with it."""

    def finish(self) -> Documentation:
        description = re.sub(r"\n{3,}", "\n\n", "\n".join(self.description)).strip()
        parameters = {name: " ".join(filter(None, lines)) for name, lines in self.parameters.items()}
        return Documentation(description, {name: text for name, text in parameters.items() if text})

    def read(self, line: str, *, is_underlined: bool) -> None:
        """Take a line; a header, or text at the margin outside NumPy's sections, ends the section before it."""
        header = _HEADER.match(line)
        if is_underlined or (header and header[1].lower() in _PARAMETERS | _DROPPED):
            self._open(line, is_numpy=is_underlined)
        elif match := _SPHINX_PARAMETER.match(line):
            self._open("args:", is_numpy=False)
            self._start((match[1],), match[2], indent=0)
        elif _SPHINX_OTHER.match(line):
            self._open("raises:", is_numpy=False)
        else:
            if line[:1].strip() and not self.is_numpy:
                self.section = ""
            self._text(line)

    def _open(self, header: str, *, is_numpy: bool) -> None:
        title = header.strip().rstrip(":").lower()
        self.section = "parameters" if title in _PARAMETERS else "dropped" if title in _DROPPED else ""
        self.is_numpy, self.indent, self.current = is_numpy and self.section != "", -1, ()
        if not self.section:
            self.description.append(header)

    def _text(self, line: str) -> None:
        if self.section == "parameters":
            self._parameter(line)
        elif not self.section:
            self._describe(line)

    def _describe(self, line: str) -> None:
        """Take a line of the description; ``name: text`` with a parameter's name is that parameter's."""
        match = _ENTRY.match(line.lstrip("-* "))
        if match and match["names"] in self.names and match["text"]:
            self._open("args:", is_numpy=False)
            self._start((match["names"],), match["text"], indent=0)
        else:
            self.description.append(line)

    def _parameter(self, line: str) -> None:
        """Take a line of a section of parameters: an entry, or more about the last one."""
        text = line.strip()
        if not text or _UNDERLINE.match(text):
            return
        indent = len(line) - len(line.lstrip())
        self.indent = indent if self.indent < 0 else self.indent
        match = (_NUMPY_ENTRY if self.is_numpy else _ENTRY).match(text.lstrip("-* ")) if indent <= self.indent else None
        if match:
            names = tuple(name.strip(" *") for name in match["names"].split(","))
            self._start(names, "" if self.is_numpy else match["text"] or "", indent)
        elif indent > self.indent or not self.is_numpy:
            for name in self.current:
                self.parameters[name].append(text)

    def _start(self, names: tuple[str, ...], text: str, indent: int) -> None:
        self.current, self.indent = tuple(name for name in names if name in self.names), max(indent, 0)
        for name in self.current:
            self.parameters[name] = [text]
