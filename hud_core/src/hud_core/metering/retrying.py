"""When a model call that failed is tried again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hud_core.errors import ProviderError

FIRST_WAIT = 0.5
"""Seconds before the second try, where the endpoint does not say; it doubles with each."""
LONGEST_WAIT = 8.0
LONGEST_OVERLOAD_WAIT = 30.0
ALWAYS_WAITED = 60.0
"""A ``Retry-After`` of up to so many seconds is waited for, whatever the patience."""
TRUSTED = 5
"""How often in a row an endpoint's own ``Retry-After`` is believed; from then on the waits grow beside it."""
JITTER = 0.1
"""The share by which a wait is longer at random, so that calls that failed together do not come back together."""


class Endurance:
    """How much one model call puts up with.

    Failures are tried again `max_retries` times. Answers that say that the endpoint is overloaded do not count, until
    the call has waited `patience` seconds because of them: a crowded endpoint makes a job slow, and nothing worse.

    Args:
        max_retries: How often a failed call is tried again.
        patience: Seconds to wait for an endpoint that is overloaded.
    """

    __slots__ = ("_failures", "_left", "_max_retries", "_overloads", "_patience")

    def __init__(self, max_retries: int, patience: float) -> None:
        self._max_retries = max_retries
        self._patience = self._left = patience
        self._failures = 0
        self._overloads = 0

    def wait(self, error: ProviderError, *, silence: float = 0.0) -> float | None:
        """Say how many seconds to wait until the next try, or None to give up.

        It is never less than the endpoint asks for. One that asks for more than the patience, and for more than a
        minute, is not waited for.

        Args:
            error: Why the last try failed.
            silence: For how many seconds the endpoint has answered nobody.
        """
        asked = error.retry_after
        if not error.retry or (asked or 0.0) > max(self._patience, ALWAYS_WAITED):
            return None
        if error.overloaded and silence > self._patience:
            return None
        if error.overloaded and self._left > 0:
            self._overloads += 1
            seconds = _wait(asked, self._overloads, LONGEST_OVERLOAD_WAIT)
            self._left -= seconds
            return seconds
        if self._failures == self._max_retries:
            return None
        self._failures += 1
        return _wait(asked, self._failures, LONGEST_WAIT)

    @property
    def tries(self) -> int:
        """How many tries failed and were followed by another."""
        return self._failures + self._overloads


def _wait(asked: float | None, count: int, longest: float) -> float:
    """Give the wait after failure number `count`."""
    doublings = count - 1 if asked is None else count - 1 - TRUSTED
    backoff = min(FIRST_WAIT * 2.0 ** min(doublings, 10), longest) if doublings >= 0 else 0.0
    return max(asked or 0.0, backoff) * (1 + JITTER * random.random())  # noqa: S311  jitter keeps nothing secret
