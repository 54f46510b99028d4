"""One model call, from its first try to its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import anyio

from hud_core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hud_core.metering.retrying import Endurance
    from hud_core.metering.throttle import Throttle

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


async def send(request: Callable[[], Awaitable[T]], endurance: Endurance, throttle: Throttle) -> Sent[T]:
    """Send a request until it is answered.

    Args:
        request: Sends it once.
        endurance: What the call puts up with.
        throttle: Where calls of the same model wait for their turn.

    Raises:
        ProviderError: It failed, and no other try is due.
    """
    began = time.monotonic()
    controller = throttle.controller
    while True:
        await throttle.enter()
        try:
            started = time.monotonic()
            try:
                answer = await request()
            except ProviderError as error:
                wait = await _failed(error, endurance, throttle, started)
            else:
                now = time.monotonic()
                controller.answered(now, now - started)
                return Sent(answer, now - started, started - began, endurance.tries)
        finally:
            throttle.leave()
        await anyio.sleep(wait)


async def _failed(error: ProviderError, endurance: Endurance, throttle: Throttle, started: float) -> float:
    """Take note of a try that failed, and give the seconds to wait without a turn until the next.

    Raises:
        ProviderError: No other try is due.
    """
    controller, now = throttle.controller, time.monotonic()
    wait = endurance.wait(error, silence=controller.silence(now))
    if error.overloaded:
        controller.refuse(now)
    if wait is None:
        if error.overloaded:
            asked = f" it asks for {error.retry_after:g} s;" if error.retry_after else ""
            error.add_note(
                f"tried {endurance.tries + 1:,} times;{asked} setting 'overload_patience' says how long to wait"
            )
        raise error
    if not error.overloaded:
        return wait
    cooling = controller.cooling(now, started, wait)
    if cooling:
        await anyio.sleep(cooling)
    return wait - cooling
