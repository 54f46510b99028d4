"""Answers and what grading made of them."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import Attribute, field, frozen

from hud_core.model.content import Citation

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class StopReason(StrEnum):
    """Why the agent stopped."""

    ANSWERED = "answered"
    MAX_STEPS = "max_steps"
    AGENT_TIMEOUT = "agent_timeout"
    REFUSED = "refused"
    """The model declined."""
    TRUNCATED = "truncated"
    """The model ran out of output tokens in the middle of its answer."""
    EMPTY = "empty"
    """The model said nothing and called nothing."""
    CONTENT_FILTER = "content_filter"
    """The endpoint withheld the prompt or the answer."""
    CONTEXT_OVERFLOW = "context_overflow"
    """The conversation no longer fits into the model's context."""


@frozen(kw_only=True)
class Answer:
    """What an agent answered, verbatim."""

    text: str = ""
    structured: Any = None
    """The answer as data, when the agent gave one beside its text."""
    citations: tuple[Citation, ...] = ()
    stop_reason: StopReason = StopReason.ANSWERED


@frozen(kw_only=True)
class AgentAnswer(Generic[T]):
    """What a scenario with ``returns=`` receives: the answer as that type, and as it came."""

    content: T
    """The typed answer; the raw text where `error` says that it did not fit the type."""
    raw: str
    citations: tuple[Citation, ...] = ()
    error: str | None = None


def _finite(name: str, value: object) -> float:
    """Take a finite number; True and False are 1.0 and 0.0."""
    if type(value) is float and math.isfinite(value):  # nearly always
        return value
    if not isinstance(value, bool | int | float):
        msg = f"{name} must be a number, got {type(value).__name__} {value!r}"
        raise TypeError(msg)
    if not math.isfinite(value):
        msg = f"{name} must be finite, got {value}"
        raise ValueError(msg)
    return float(value)


def _reward(value: object) -> float:
    return _finite("reward", value)


def _value(value: object) -> float:
    return _finite("value", value)


def _weight(value: object) -> float:
    return _finite("weight", value)


def _tuple(value: Iterable[SubScore] | None) -> tuple[SubScore, ...] | None:
    return None if value is None else tuple(value)


@frozen(kw_only=True)
class SubScore:
    """One part of a reward: ``value`` times ``weight``; a negative weight is a penalty."""

    name: str
    value: float = field(converter=_value)
    """Between 0 and 1."""
    weight: float = field(default=1.0, converter=_weight)
    metadata: dict[str, Any] | None = None

    @value.validator
    def _in_range(self, _: Attribute[float], value: float) -> None:
        if not 0 <= value <= 1:
            msg = f"value of sub-score {self.name!r} must be between 0 and 1, got {value}"
            raise ValueError(msg)


@frozen(kw_only=True)
class Evaluation:
    """What grading gave: a finite reward and how it came about."""

    reward: float = field(converter=_reward)
    done: bool = True
    content: str | None = None
    """The grader's explanation."""
    info: dict[str, Any] = field(factory=dict)
    is_error: bool = field(alias="isError", default=False)
    """Grading itself failed: the rollout is invalid and the reward does not count."""
    subscores: tuple[SubScore, ...] | None = field(default=None, converter=_tuple)

    @property
    def isError(self) -> bool:  # noqa: N802  the name that reference code reads
        """Whether grading failed, under its wire name."""
        return self.is_error

    @classmethod
    def from_subscores(cls, subscores: list[SubScore] | tuple[SubScore, ...]) -> Evaluation:
        """Weigh sub-scores into one reward: positive weights are scaled to sum to 1, penalties are kept.

        Raises:
            ValueError: There is no sub-score with a positive weight.
        """
        total = sum(score.weight for score in subscores if score.weight > 0)
        if not total > 0:
            msg = "a reward needs at least one sub-score with a positive weight"
            raise ValueError(msg)
        reward = sum(s.value * (s.weight / total if s.weight > 0 else s.weight) for s in subscores)
        return cls(reward=reward, subscores=tuple(subscores))
