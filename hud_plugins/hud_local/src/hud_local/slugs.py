"""Finds tasks of one slug."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.errors import TaskDataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hud_core.model.task import Task


def check_slugs(named: Iterable[tuple[str, Task]]) -> None:
    """See that no two tasks have one slug.

    Args:
        named: Tasks, each with the name of its place.

    Raises:
        TaskDataError: Some have; each line names both places.
    """
    places: dict[str, str] = {}
    problems = []
    for place, task in named:
        if task.slug is None:
            continue
        if task.slug in places:
            from hud_core.model.codec import duplicate_slug

            problems.append(duplicate_slug(task.slug, place, places[task.slug]))
        places.setdefault(task.slug, place)
    if problems:
        raise TaskDataError(problems)
