"""The environments that are declared beside a file of rows."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hud_core.environment.environment import normalise
from hud_core.model.codec import EnvRow, env_name
from hud_core.model.task import EnvRef
from hud_local.modules import project_root
from hud_local.python import environments_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hud_core.environment.environment import Environment
    from hud_core.model.codec import TaskRow
    from hud_core.model.task import Task


class Declared:
    """Finds the environment of a row. Files are imported when the first row asks for one.

    Args:
        folder: Where the rows are; its ``env.py`` counts, or that of its project.
        files: More Python files that declare environments.
    """

    def __init__(self, folder: Path, files: Iterable[str] = ()) -> None:
        self._folder = folder
        self._files = files
        self._found: dict[tuple[str | None, str | None], Environment | None] = {}

    def find(self, row: TaskRow | Task) -> Environment | None:
        """Find a row's environment: by name, or for a row without one the only environment that has its scenario."""
        if _is_more_than_a_name(row.env) or not self._environments:
            return None
        name = env_name(row)
        key = (name, None if name is not None else row.scenario)
        if key not in self._found:
            self._found[key] = self._look_up(*key)
        return self._found[key]

    def _look_up(self, name: str | None, scenario: str | None) -> Environment | None:
        if name is not None:
            return self._environments.get(normalise(name))
        having = [environment for environment in self._environments.values() if scenario in environment.scenarios]
        return having[0] if len(having) == 1 else None

    @cached_property
    def _environments(self) -> dict[str, Environment]:
        beside = dict.fromkeys([self._folder / "env.py", project_root(self._folder.resolve()) / "env.py"])
        usual = [file for file in beside if file.is_file()][:1]
        found: dict[str, Environment] = {}
        for file in [*usual, *map(Path, self._files)]:
            found |= environments_of(file)
        return found


def _is_more_than_a_name(env: object) -> bool:
    if isinstance(env, EnvRow | EnvRef):
        return env.backend is not None or bool(env.options)
    return env is not None and not isinstance(env, str)
