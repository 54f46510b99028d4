"""What a program printed, as an answer and as numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define

from hud_cli_agent.program import Finished
from hud_cli_agent.recipes import Recipe
from hud_core.errors import AgentError
from hud_core.model.rollout import Usage

TAIL = 2_000
"""Characters of what a failed program printed last that its error tells."""


@define
class Reply:
    """What a program gave, read as its recipe says.

    Args:
        recipe: How it is read.
        finished: How the program ended.
        stdout: What it printed, without secrets.
        answer_file: Where it may have written its answer.
    """

    recipe: Recipe
    finished: Finished
    stdout: str
    answer_file: Path
    _data: Any = None

    def __attrs_post_init__(self) -> None:
        self._data = read_json(self.stdout)

    @property
    def ran_out_of_steps(self) -> bool:
        """Whether the program says that its steps were not enough."""
        told = self.recipe.step_limit_field
        return self.finished.code in self.recipe.step_limit_codes or (
            told is not None and find(self._data, told[0]) == [told[1]]
        )

    @property
    def has_failed(self) -> bool:
        """Whether the program says that it has failed, by its exit code or in what it printed."""
        says_so = self.recipe.failed is not None and any(find(self._data, self.recipe.failed))
        return self.finished.code != 0 or says_so

    def failure(self, program: str, stderr: str) -> AgentError:
        """Say how the program failed."""
        code = self.finished.code or 0
        how = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
        return AgentError(f"{program!r} {how}: {(stderr.strip() or self.stdout.strip())[-TAIL:] or '(no output)'}")

    def text(self) -> str | None:
        """Give the answer; None where there is none."""
        kind, _, path = self.recipe.answer.partition(":")
        if kind == "stdout":
            return self.stdout.strip("\n")
        if kind == "file":
            is_there = self.answer_file.is_file()
            return self.answer_file.read_text("utf-8", "replace").strip("\n") if is_there else None
        found = find(self._data, path)
        if not found:
            return None
        return found[0] if isinstance(found[0], str) else json.dumps(found[0])

    def usage(self) -> Usage:
        """Give what the program says it used: one call of a model at least, and no cost where it tells none."""
        numbers = {name: self._sum(name, paths) for name, paths in self.recipe.usage.items()}
        return Usage(**{"calls": 1, **{name: number for name, number in numbers.items() if number is not None}})

    def _sum(self, name: str, paths: tuple[str, ...]) -> Any:  # noqa: ANN401  dollars, or a count
        kinds = (int, float) if name == "cost" else (int,)
        found = [value for path in paths for value in find(self._data, path) if type(value) in kinds and value >= 0]
        return sum(found) if found else None


def read_json(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Read printed JSON: of a list the last item, of lines the last one that is an object. None where there is none."""
    for candidate in (text, *reversed(text.strip().splitlines()[-50:])):
        try:
            data = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, list) and data:
            data = data[-1]
        if isinstance(data, dict):
            return data
    return None


def find(data: Any, path: str) -> list[Any]:  # noqa: ANN401  JSON data
    """Give the values at a path such as ``stats.models.*.tokens``; ``*`` is every item."""
    found = [data]
    for key in path.split("."):
        found = [value for node in found if isinstance(node, Mapping) for value in _items(node, key)]
    return [value for value in found if value is not None]


def _items(node: Mapping[str, Any], key: str) -> list[Any]:
    return list(node.values()) if key == "*" else [node[key]] if key in node else []
