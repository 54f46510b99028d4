"""Finds tasks of one slug."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.errors import TaskDataError
from hud_core.model.codec import duplicate_slug

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hud_core.model.task import Task

_BITS = 1 << 27


class SlugFilter:
    """Finds slugs that may have come before, in 16 MB however many there are: a Bloom filter with one hash.

    With a million different slugs it suspects four thousand wrongly; whoever asks looks at `suspects` again.
    """

    def __init__(self) -> None:
        self._seen = bytearray(_BITS >> 3)
        self.suspects: set[str] = set()

    def add(self, slug: str) -> None:
        """Note a slug."""
        place = hash(slug) % _BITS
        bit = 1 << (place & 7)
        if self._seen[place >> 3] & bit:
            self.suspects.add(slug)
        else:
            self._seen[place >> 3] |= bit


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
            problems.append(duplicate_slug(task.slug, place, places[task.slug]))
        places.setdefault(task.slug, place)
    if problems:
        raise TaskDataError(problems)
