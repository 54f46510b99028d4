"""One model call, from its first try to its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import anyio

from hud_core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hud_core.metering.retrying import Endurance

T = TypeVar("T")


class Sent(NamedTuple, Generic[T]):
    """An answer, and what it took."""

    answer: T
    seconds: float
    """How long the last try took."""
    waited: float
    """How long everything before it took."""
    retries: int
    """Tries that failed."""


async def send(request: Callable[[], Awaitable[T]], endurance: Endurance) -> Sent[T]:
    """Send a request until it is answered.

    Args:
        request: Sends it once.
        endurance: What the call puts up with.

    Raises:
        ProviderError: It failed, and no other try is due.
    """
    began = time.monotonic()
    while True:
        started = time.monotonic()
        try:
            answer = await request()
        except ProviderError as error:
            wait = endurance.wait(error)
            if wait is None:
                raise
        else:
            return Sent(answer, time.monotonic() - started, started - began, endurance.tries)
        await anyio.sleep(wait)
