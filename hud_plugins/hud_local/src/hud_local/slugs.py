"""Finds tasks of one slug."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.errors import TaskDataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hud_core.model.task import Task

_HASH_BITS = 27
_MASK = (1 << _HASH_BITS) - 1


class SlugFilter:
    """Finds slugs that may have come before, in 16 MB however many there are: a Bloom filter with two hashes.

    Of a million different slugs it suspects fewer than a hundred; whoever asks looks at `suspects` again.
    """

    def __init__(self) -> None:
        self._seen = bytearray(1 << _HASH_BITS >> 3)
        self.suspects: set[str] = set()

    def add(self, slugs: Iterable[str | None]) -> None:
        """Note slugs; tasks without one are passed over."""
        seen = self._seen
        for slug in slugs:
            if slug is None:
                continue
            number = hash(slug)
            one, two = number & _MASK, number >> _HASH_BITS & _MASK
            bit_one, bit_two = 1 << (one & 7), 1 << (two & 7)
            if seen[one >> 3] & bit_one and seen[two >> 3] & bit_two:
                self.suspects.add(slug)
            seen[one >> 3] |= bit_one
            seen[two >> 3] |= bit_two


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
