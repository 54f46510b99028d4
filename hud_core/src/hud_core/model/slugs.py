"""Finds tasks of one slug among very many."""

from __future__ import annotations

from mmap import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_HASH_BITS = 27
_MASK = (1 << _HASH_BITS) - 1


class SlugFilter:
    """Finds slugs that may have come before, in 16 MB at the most: a Bloom filter with two hashes.

    Of a million different slugs it suspects fewer than a hundred; whoever asks looks at `suspects` again.
    """

    def __init__(self) -> None:
        # A map of memory takes what is written to, and none of it stays with the process's heap.
        self._seen = mmap(-1, 1 << _HASH_BITS >> 3)
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
