"""The controller against servers that refuse in different ways, by a virtual clock: a thousand seconds take one."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from typing import NamedTuple, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hud_core.metering.controller import Controller

RETRY_AFTER = 1.0
LATENCY = 0.2
QUICK = 0.005
"""How long a refusal takes."""


class Server(Protocol):
    def accepts(self, now: float, chance: float) -> bool: ...

    def ended(self) -> None: ...


class Random:
    """Refuses a share of all calls, whatever the load."""

    def __init__(self, share: float) -> None:
        self.share = share

    def accepts(self, now: float, chance: float) -> bool:
        return chance >= self.share

    def ended(self) -> None:
        pass


class Capped:
    """Refuses what goes beyond a number of calls at once, and a share of the others."""

    def __init__(self, most: int, share: float = 0.0) -> None:
        self.most, self.share, self.running = most, share, 0

    def accepts(self, now: float, chance: float) -> bool:
        if self.running >= self.most or chance < self.share:
            return False
        self.running += 1
        return True

    def ended(self) -> None:
        self.running -= 1


class Bucket:
    """Refuses what goes beyond a rate, with a second's worth in reserve."""

    def __init__(self, rate: float) -> None:
        self.rate = self.tokens = rate
        self.then = 0.0

    def accepts(self, now: float, chance: float) -> bool:
        self.tokens = min(self.rate, self.tokens + (now - self.then) * self.rate)
        self.then = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def ended(self) -> None:
        pass


class Away(Random):
    """Refuses everything for some time."""

    def __init__(self, start: float, end: float) -> None:
        super().__init__(0.0)
        self.start, self.end = start, end

    def accepts(self, now: float, chance: float) -> bool:
        return not self.start <= now < self.end


class Outcome(NamedTuple):
    seconds: float
    """Until nine calls of ten were answered: what the unluckiest callers do last says little."""
    answered: int
    refused: int
    limit: float

    @property
    def refusals(self) -> float:
        return self.refused / self.answered


class Simulation:
    """Callers that make so many calls one after the other, through a throttle as ours, by a virtual clock."""

    def __init__(
        self,
        server: Server,
        callers: int,
        calls: int,
        *,
        seed: int = 0,
        is_controlled: bool = True,
        latency: float = LATENCY,
    ) -> None:
        self.server, self.random = server, random.Random(seed)
        self.controller = Controller(0.0)
        self.is_controlled = is_controlled
        self.latency = latency
        self.left = [calls] * callers
        self.most = 0.9 * callers * calls
        self.seconds = 0.0
        self.waiting: deque[int] = deque()
        self.running = self.answered = self.refused = 0
        self.now = 0.0
        self._count = itertools.count()
        self._events: list[tuple[float, int, str, int, float]] = []

    @property
    def limit(self) -> float:
        return self.controller.limit if self.is_controlled else float("inf")

    def run(self) -> Outcome:
        for caller in range(len(self.left)):
            self.want(caller)
        while self._events:
            self.now, _, what, caller, sent = heapq.heappop(self._events)
            getattr(self, what)(caller, sent)
            while self.waiting and self.running < self.limit:
                self.start(self.waiting.popleft())
        return Outcome(self.seconds, self.answered, self.refused, self.controller.limit)

    def later(self, seconds: float, what: str, caller: int) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._count), what, caller, self.now))

    def want(self, caller: int, _: float = 0.0) -> None:
        if self.waiting or self.running >= self.limit:
            self.controller.held()
            self.waiting.append(caller)
        else:
            self.start(caller)

    def start(self, caller: int) -> None:
        self.running += 1
        self.controller.sent(self.running)
        if self.server.accepts(self.now, self.random.random()):
            self.later(self.latency * self.random.uniform(0.8, 1.2), "answer", caller)
        else:
            self.later(QUICK, "refuse", caller)

    def answer(self, caller: int, sent: float) -> None:
        self.running -= 1
        self.server.ended()
        self.answered += 1
        if self.answered <= self.most:
            self.seconds = self.now
        self.controller.answered(self.now, self.now - sent)
        self.left[caller] -= 1
        if self.left[caller]:
            self.later(0.002, "want", caller)

    def refuse(self, caller: int, sent: float) -> None:
        self.refused += 1
        wait = RETRY_AFTER * self.random.uniform(1, 1.1)
        self.controller.refuse(self.now)
        cooling = self.controller.cooling(self.now, sent, wait) if self.is_controlled else 0.0
        self.later(cooling, "free", caller)
        self.later(wait, "want", caller)

    def free(self, *_: object) -> None:
        self.running -= 1


@pytest.mark.parametrize("callers", [30, 100, 300])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_refusals_that_do_not_depend_on_the_load_cost_no_more_than_their_waits(share: float, callers: int) -> None:
    ours = [Simulation(Random(share), callers, 30, seed=seed).run() for seed in range(4)]
    ideal = [Simulation(Random(share), callers, 30, seed=seed, is_controlled=False).run() for seed in range(4)]
    assert {outcome.answered for outcome in (*ours, *ideal)} == {callers * 30}
    assert sum(outcome.seconds for outcome in ours) <= sum(outcome.seconds for outcome in ideal) / 0.85


@pytest.mark.parametrize("latency", [2.0, 8.0])
def test_calls_that_take_long_are_waited_for_before_anything_is_concluded(latency: float) -> None:
    ours = Simulation(Random(0.3), 300, 5, latency=latency).run()
    ideal = Simulation(Random(0.3), 300, 5, latency=latency, is_controlled=False).run()
    assert ours.seconds <= ideal.seconds / 0.8
    capped = Simulation(Capped(50), 200, 10, latency=latency).run()
    assert capped.seconds <= 0.9 * 200 * 10 * latency / 50 / 0.8
    assert capped.refusals < 1 + 3 * latency


@pytest.mark.parametrize(("most", "callers"), [(1, 100), (10, 100), (50, 100), (50, 400)])
def test_a_cap_is_found_and_kept_busy(most: int, callers: int) -> None:
    calls = 40
    ours = Simulation(Capped(most), callers, calls).run()
    without = Simulation(Capped(most), callers, calls, is_controlled=False).run()
    assert ours.seconds <= callers * calls * LATENCY / most / 0.8
    assert ours.refusals <= without.refusals / 3
    assert ours.limit <= 2 * most + 1


@pytest.mark.parametrize(("rate", "callers"), [(2, 100), (10, 100), (50, 100), (50, 400)])
def test_a_rate_is_found_and_used(rate: int, callers: int) -> None:
    calls = 20
    ours = Simulation(Bucket(rate), callers, calls).run()
    without = Simulation(Bucket(rate), callers, calls, is_controlled=False).run()
    assert ours.seconds <= callers * calls / rate / 0.8
    assert ours.refusals <= without.refusals / 2


def test_a_cap_is_found_among_refusals_that_do_not_depend_on_it() -> None:
    ours = Simulation(Capped(50, share=0.1), 400, 40).run()
    assert ours.seconds <= 400 * 40 * LATENCY / 50 / 0.9 / 0.75
    assert ours.refusals < 0.6


def test_after_an_outage_everything_runs_again() -> None:
    ours = Simulation(Away(2, 12), 200, 100).run()
    assert ours.answered == 200 * 100
    assert ours.seconds <= 12 + 200 * 100 / (200 / LATENCY) / 0.6
    without = Simulation(Away(2, 12), 200, 100, is_controlled=False).run()
    assert ours.refusals <= without.refusals / 2


def test_there_is_no_limit_without_refusals() -> None:
    assert Simulation(Random(0.0), 100, 20).run().limit == float("inf")


@settings(max_examples=25)
@given(
    share=st.floats(0, 0.9),
    most=st.integers(1, 40),
    callers=st.integers(1, 60),
    calls=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_every_call_is_answered_in_the_end(share: float, most: int, callers: int, calls: int, seed: int) -> None:
    simulation = Simulation(Capped(most, share), callers, calls, seed=seed)
    outcome = simulation.run()
    assert outcome.answered == callers * calls
    assert outcome.limit >= 1
    assert simulation.running == 0
    assert simulation.controller.refused == outcome.refused


def test_a_window_in_which_no_call_is_sent_says_nothing_against_those_that_run() -> None:
    controller = Controller(0.0)
    for running in range(1, 101):
        controller.sent(running)
    controller.answered(1.0, 1.0)
    for number in range(60):  # of a hundred calls, the last come back one by one
        controller.answered(4.0 + number / 100, 1.0)
        controller.refuse(4.0 + number / 100)
    assert 10 <= controller.limit <= 90


def test_silence_is_counted_from_the_first_refusal_after_an_answer() -> None:
    controller = Controller(0.0)
    controller.answered(1.0, 0.2)
    assert controller.silence(50.0) == 0.0
    controller.refuse(50.0)
    controller.refuse(60.0)
    assert controller.silence(60.0) == 10.0
    controller.refuse(1000.0)  # nobody called for a long time
    assert controller.silence(1000.0) == 0.0
    controller.answered(1001.0, 0.2)
    assert controller.silence(1001.0) == 0.0
