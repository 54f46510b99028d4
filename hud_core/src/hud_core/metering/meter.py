"""Who meters what: a `Meter` the endpoints of a kernel, a `JobMeter` a job's spending, a `RolloutMeter` a rollout's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hud_core.errors import BudgetError, ConfigError
from hud_core.metering.budget import UNLIMITED, Budget, Hold, Purse
from hud_core.metering.prices import Prices
from hud_core.metering.throttle import Throttle
from hud_core.model.rollout import Usage

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from hud_core.metering.cache import CallCache
    from hud_core.metering.throttle import Pressure


class Meter:
    """The throttles of the models that are called, one for each model at each endpoint. A kernel has one.

    It serves one event loop at a time.
    """

    def __init__(self) -> None:
        self.prices: Prices = Prices()
        """What models cost, for those who name no other prices."""
        self._throttles: dict[Hashable, Throttle] = {}

    def throttle(self, endpoint: Hashable, model: str) -> Throttle:
        """Give the throttle of a model at an endpoint.

        Args:
            endpoint: What tells it from other endpoints.
            model: The model's name.
        """
        key = (endpoint, model)
        throttle = self._throttles.get(key)
        if throttle is None:
            throttle = self._throttles[key] = Throttle(model)
        return throttle

    @property
    def pressure(self) -> list[Pressure]:
        """How the endpoints cope that have been overloaded."""
        return [throttle.pressure for throttle in self._throttles.values() if throttle.controller.refused]


class JobMeter:
    """What a job spends on models, and what it may.

    Args:
        meter: Its kernel's.
        budget: What the whole job may spend.
        rollout_budget: What each rollout may spend.
        prices: What models cost; by default the prices of the kernel's meter.
        cache: Where answers are kept, if they are.
    """

    def __init__(
        self,
        meter: Meter,
        *,
        budget: Budget = UNLIMITED,
        rollout_budget: Budget = UNLIMITED,
        prices: Prices | None = None,
        cache: CallCache | None = None,
    ) -> None:
        self.meter: Meter = meter
        self.purse: Purse = Purse(budget, "job")
        self.rollout_budget: Budget = rollout_budget
        self.prices: Prices = prices or meter.prices
        self.cache: CallCache | None = cache
        self.ended: str | None = None
        """Why no model may be called any more; None while they may."""
        self.is_limited: bool = budget.limits_calls or rollout_budget.limits_calls
        """Whether calls have to fit into a budget."""

    @property
    def counts_dollars(self) -> bool:
        """Whether there is a budget in dollars, so that prices must be known."""
        return self.purse.budget.cost is not None or self.rollout_budget.cost is not None

    def rollout(self, repeat: int = 0) -> RolloutMeter:
        """Make the meter of a rollout."""
        return RolloutMeter(self, repeat)

    def end(self, reason: str) -> None:
        """Let no model be called any more."""
        self.ended = self.ended or reason
        self.purse.wake()


class RolloutMeter:
    """What one rollout spends on models.

    Args:
        job: Its job's meter.
        repeat: Which repeat of its task it is.
    """

    __slots__ = ("_asked", "_purse", "job", "repeat")

    def __init__(self, job: JobMeter, repeat: int) -> None:
        self.job: JobMeter = job
        self.repeat: int = repeat
        self._asked: dict[str, int] | None = None
        self._purse: Purse | None = Purse(job.rollout_budget, "rollout") if job.rollout_budget.limits_calls else None

    def count(self, question: str) -> int:
        """Say how often the rollout has asked something before: what it asks twice it wants two answers to."""
        if self._asked is None:
            self._asked = {}
        before = self._asked.get(question, 0)
        self._asked[question] = before + 1
        return before

    async def reserve(self, model: str, tokens: Usage) -> Hold:
        """Hold back what a call is expected to use at the most; wait for calls that run, if it may fit after them.

        Args:
            model: The model that is to be called.
            tokens: How many tokens it may read and write.

        Raises:
            BudgetError: It does not fit.
        """
        hold = Hold(tokens.tokens, self._cost(model, tokens))
        while True:
            if self.job.ended is not None:
                raise BudgetError(self.job.ended)
            full = next((purse for purse in self._purses() if not purse.has_room(hold)), None)
            if full is None:
                break
            if full.has_room(hold, alone=True):
                await full.settled()
                continue
            if full is self.job.purse:
                self.job.end(full.end(hold))
            raise BudgetError(full.end(hold))
        for purse in self._purses():
            purse.hold(hold)
        return hold

    def release(self, hold: Hold) -> None:
        """Hold it back no longer: the call ended."""
        for purse in self._purses():
            purse.release(hold)

    def charge(self, models: Sequence[str], usage: Usage) -> Usage:
        """Take note of what a call used, and give it with its cost.

        Args:
            models: Names of the model; the first with a price counts.
            usage: What the call used.
        """
        if usage.cost is None:
            usage = replace(usage, cost=self.job.prices.cost(models, usage))
        if usage.tokens:
            self._spend(usage)
        return usage

    def charge_unmeasured(self, hold: Hold) -> None:
        """Count what was held back as spent, for an endpoint that does not say what a call used."""
        self._spend(Usage(calls=1, input_tokens=hold.tokens, cost=hold.cost))

    def _spend(self, usage: Usage) -> None:
        for purse in self._purses():
            purse.spent += usage
        if self.job.is_limited and self.job.purse.is_spent:
            self.job.end(self.job.purse.end())

    def _purses(self) -> tuple[Purse, ...]:
        return (self.job.purse,) if self._purse is None else (self._purse, self.job.purse)

    def _cost(self, model: str, tokens: Usage) -> float:
        if not self.job.counts_dollars:
            return 0.0
        try:
            return self.job.prices.require(model).most(tokens)
        except ConfigError as error:
            self.job.end(str(error))
            raise BudgetError(str(error)) from error
