from __future__ import annotations

import math

import anyio
import pytest

from hud_core.errors import ProviderError
from hud_core.kernel import Kernel
from hud_core.metering.calls import send
from hud_core.metering.meter import Meter
from hud_core.metering.retrying import Endurance
from hud_core.metering.throttle import Throttle


class Endpoint:
    """Answers when it is told to; keeps who asks, and how many at once."""

    def __init__(self, *refusals: float) -> None:
        self.refusals = list(refusals)
        self.asked: list[int] = []
        self.running = self.most = 0
        self.open = anyio.Event()

    async def ask(self, number: int) -> int:
        self.asked.append(number)
        if self.refusals:
            raise ProviderError("full", overloaded=True, retry_after=self.refusals.pop(0))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        return number


def throttle(limit: float) -> Throttle:
    made = Throttle("m")
    made.controller.limit = limit
    return made


@pytest.mark.parametrize("limit", [1, 3])
async def test_calls_go_first_come_first_served_and_no_more_at_once_than_the_limit(limit: int) -> None:
    endpoint, gate = Endpoint(), throttle(limit)
    answers: list[int] = []

    async def call(number: int) -> None:
        answers.append((await send(lambda: endpoint.ask(number), Endurance(0, 0), gate)).answer)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(call, number)
            await anyio.wait_all_tasks_blocked()  # trio starts tasks in any order
        assert (gate.pressure.running, gate.pressure.waiting) == (limit, 10 - limit)
        endpoint.open.set()
    assert sorted(answers) == list(range(10))
    assert endpoint.most == limit
    assert limit > 1 or endpoint.asked == list(range(10))
    assert (gate.running, gate.pressure.waiting) == (0, 0)


async def test_a_call_that_is_cancelled_leaves_its_place_to_the_others() -> None:
    endpoint, gate = Endpoint(), throttle(1)

    async def call(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            await send(lambda: endpoint.ask(number), Endurance(0, 0), gate)

    scopes = [anyio.CancelScope() for _ in range(5)]
    async with anyio.create_task_group() as tasks:
        for number, scope in enumerate(scopes):
            tasks.start_soon(call, number, scope)
            await anyio.wait_all_tasks_blocked()
        scopes[1].cancel()  # waits
        scopes[0].cancel()  # runs, and gives its turn to the next, which is cancelled before it can use it
        scopes[2].cancel()
        await anyio.wait_all_tasks_blocked()
        assert (gate.pressure.running, gate.pressure.waiting) == (1, 1)
        endpoint.open.set()
    assert endpoint.asked == [0, 3, 4]
    assert (gate.running, gate.pressure.waiting) == (0, 0)


async def test_a_turn_given_to_a_call_that_is_cancelled_at_that_moment_is_not_lost() -> None:
    gate = throttle(1)
    await gate.enter()
    entered = False

    async def call(scope: anyio.CancelScope) -> None:
        nonlocal entered
        with scope:
            await gate.enter()
            entered = True

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, scope)
        await anyio.wait_all_tasks_blocked()
        gate.leave()
        scope.cancel()
    assert gate.running == entered
    with anyio.fail_after(60):
        if entered:
            gate.leave()
        await gate.enter()


async def test_a_call_that_waits_for_retry_after_holds_no_turn() -> None:
    endpoint, gate = Endpoint(60.0), throttle(1)
    gate.controller.answered(0.0, 0.001)
    endpoint.open.set()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, lambda: endpoint.ask(0), Endurance(0, 600), gate)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(30):
            assert (await send(lambda: endpoint.ask(1), Endurance(0, 600), gate)).answer == 1
        assert gate.pressure.refused == 1
        tasks.cancel_scope.cancel()
    assert gate.running == 0


async def test_failures_give_the_turn_back() -> None:
    gate = throttle(1)

    async def fail() -> None:
        raise ProviderError("no", retry=False)

    for _ in range(3):
        with pytest.raises(ProviderError):
            await send(fail, Endurance(5, 600), gate)
    assert gate.running == 0


def test_each_model_of_each_endpoint_has_a_throttle_of_its_own() -> None:
    meter = Meter()
    assert meter.throttle("a", "m") is meter.throttle("a", "m")
    assert len({id(meter.throttle(*key)) for key in (("a", "m"), ("a", "n"), ("b", "m"))}) == 3


def test_only_endpoints_that_were_overloaded_are_shown() -> None:
    meter = Meter()
    meter.throttle("a", "quiet")
    busy = meter.throttle("a", "gpt-x")
    busy.controller.refuse(0.0)
    assert [str(pressure) for pressure in meter.pressure] == ["gpt-x: 0 at once, 1 refused"]
    busy.controller.limit, busy.running = 41, 34
    assert str(busy.pressure) == "gpt-x: 34 of 41 at once, 1 refused"
    assert throttle(math.inf).pressure.limit is None


def test_two_kernels_have_two_meters() -> None:
    one, other = Kernel(autoload=False), Kernel(autoload=False)
    assert one.meter is one.meter
    assert one.meter is not other.meter
