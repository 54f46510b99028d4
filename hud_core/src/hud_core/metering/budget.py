"""What may be spent, and what has been."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import anyio
from attrs import Attribute, field, frozen

from hud_core.errors import ConfigError
from hud_core.model.rollout import NO_USAGE, Usage

SMALLEST = 1e-12
"""Dollars that are as good as none."""


def _positive(_: object, attribute: Attribute[Any], value: float | None) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    if value is not None and not is_number:
        raise ConfigError(f"a budget of {attribute.name} must be a number more than 0, got {value!r}")


@frozen(kw_only=True)
class Budget:
    """What a job, or a rollout, may spend. None is no limit.

    Raises:
        ConfigError: A limit is not a number more than 0.
    """

    cost: float | None = field(default=None, validator=_positive)
    """Dollars, for the calls of models."""
    tokens: int | None = field(default=None, validator=_positive)
    """Input and output tokens."""
    seconds: float | None = field(default=None, validator=_positive)
    """Wall time."""

    @property
    def limits_calls(self) -> bool:
        """Whether model calls have to fit into it."""
        return self.cost is not None or self.tokens is not None


UNLIMITED: Budget = Budget()


class Hold(NamedTuple):
    """What is held back of a budget for a call that runs: the most that it is expected to use."""

    tokens: int
    cost: float

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens" + (f" and {dollars(self.cost)}" if self.cost else "")


class Purse:
    """What has been spent of a budget, and what is held back for calls that run.

    Args:
        budget: What may be spent.
        whose: Whose budget it is, for messages: ``job`` or ``rollout``.
    """

    __slots__ = ("_calls", "_cost", "_settled", "_tokens", "_whose", "budget", "spent")

    def __init__(self, budget: Budget, whose: str) -> None:
        self.budget: Budget = budget
        self.spent: Usage = NO_USAGE
        """What calls that ended have used."""
        self._whose = whose
        self._calls = self._tokens = 0
        self._cost = 0.0
        self._settled: anyio.Event | None = None

    def has_room(self, hold: Hold, *, alone: bool = False) -> bool:
        """Whether a call fits: beside those that run, or if they were to use nothing."""
        most, spent = self.budget, self.spent
        tokens, cost = (0, 0.0) if alone else (self._tokens, self._cost)
        if most.tokens is not None and spent.tokens + tokens + hold.tokens > most.tokens:
            return False
        return most.cost is None or (spent.cost is not None and spent.cost + cost + hold.cost <= most.cost)

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left at all."""
        return not self.has_room(Hold(1, SMALLEST), alone=True)

    def end(self, hold: Hold | None = None) -> str:
        """Say that the budget is spent, or too small for the call that comes next."""
        if hold is None:
            return f"the {self._whose}'s budget is spent: {self._state}"
        return f"the {self._whose}'s budget is too small for the next call: {self._state} spent, and it may take {hold}"

    @property
    def _state(self) -> str:
        most, parts = self.budget, []
        if most.cost is not None:
            parts.append(f"{dollars(self.spent.cost)} of {dollars(most.cost)}")
        if most.tokens is not None:
            parts.append(f"{self.spent.tokens:,} of {most.tokens:,} tokens")
        return ", ".join(parts)

    def hold(self, hold: Hold) -> None:
        """Hold something back for a call."""
        self._calls += 1
        self._tokens += hold.tokens
        self._cost += hold.cost

    def release(self, hold: Hold) -> None:
        """Hold it back no longer; whoever waits looks again."""
        self._calls -= 1
        self._tokens -= hold.tokens
        self._cost = self._cost - hold.cost if self._calls else 0.0  # no sum of rounding errors stays behind
        self.wake()

    async def settled(self) -> None:
        """Wait until a call that runs has ended, or `wake` is called."""
        if self._settled is None:
            self._settled = anyio.Event()
        await self._settled.wait()

    def wake(self) -> None:
        """Let everybody look again who waits for `settled`."""
        if self._settled is not None:
            self._settled.set()
            self._settled = None


def dollars(amount: float | None) -> str:
    """Say an amount: cents from a dollar on, two digits that tell something below."""
    if amount is None:
        return "unknown"
    if amount >= 1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${amount:.{1 - math.floor(math.log10(amount))}f}"
