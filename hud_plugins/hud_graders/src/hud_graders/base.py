"""`Grader`: the base class of graders that scenario code calls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from hud_core import GraderError, SubScore
from hud_core.environment.signature import to_json_data
from hud_core.settings import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Score = float | tuple[float, dict[str, Any]]


class Grader:
    """A measure that scenario code awaits: ``await MyGrader.grade(weight=0.5, answer=answer)``.

    A subclass sets `name` and implements `compute_score`. For graders that task rows name, see `hud_core.Grader`.
    """

    name: ClassVar[str] = "BaseGrader"
    """What the sub-score is called."""

    @classmethod
    async def compute_score(cls, *_: Any, **parameters: Any) -> Score:
        """Measure; name the parameters that you take, as ``cls, *, answer: str``.

        Returns:
            A number from 0 to 1, alone or with metadata.

        Raises:
            GraderError: It could not be measured. Never a 0 instead.
        """
        msg = f"{cls.__name__} must implement compute_score"
        raise NotImplementedError(msg)

    @classmethod
    async def grade(cls, weight: float, name: str | None = None, **parameters: Any) -> SubScore:
        """Measure, and give a sub-score whose metadata has what was measured and the parameters.

        Args:
            weight: The weight of the sub-score; a negative one makes it a penalty.
            name: What it is called instead of the grader's own name.
            parameters: What `compute_score` takes.

        Raises:
            GraderError: The score is no number from 0 to 1.
        """
        result = await cls.compute_score(**parameters)
        score, metadata = result if isinstance(result, tuple) else (result, {})
        return SubScore(
            name=name or cls.name,
            value=checked(score, cls.name),
            weight=weight,
            metadata={**metadata, "_parameters": _as_json(parameters)},
        )

    # The next two come last: in the rest of a class body, `any` and `all` are not the builtins any more.

    @classmethod
    def any(cls, weight: float, subscores: Sequence[SubScore], name: str | None = None) -> SubScore:
        """Give the best of several sub-scores, as one.

        Raises:
            ValueError: There are none.
        """
        return _one_of(subscores, max, weight, name or f"{cls.name}_any")

    @classmethod
    def all(cls, weight: float, subscores: Sequence[SubScore], name: str | None = None) -> SubScore:
        """Give the worst of several sub-scores, as one.

        Raises:
            ValueError: There are none.
        """
        return _one_of(subscores, min, weight, name or f"{cls.name}_all")


def checked(score: object, name: str) -> float:
    """Take a score from 0 to 1.

    Raises:
        GraderError: It is none.
    """
    if not isinstance(score, int | float) or not math.isfinite(score) or not 0 <= score <= 1:
        msg = f"grader {name!r} must give a number from 0 to 1, it gave {score!r}"
        raise GraderError(msg)
    return float(score)


def _one_of(
    subscores: Sequence[SubScore], choose: Callable[[Iterable[float]], float], weight: float, name: str
) -> SubScore:
    if not subscores:
        msg = f"{name!r} needs at least one sub-score"
        raise ValueError(msg)
    parts = [{"name": part.name, "value": part.value, "metadata": part.metadata} for part in subscores]
    value = choose(part.value for part in subscores)
    return SubScore(name=name, value=value, weight=weight, metadata={"subscores": parts})


def _as_json(parameters: dict[str, Any]) -> dict[str, Any]:
    """Copy parameters as JSON data without secrets; what is no data is named by its type."""
    return mask({name: _data(value) for name, value in parameters.items()})


def _data(value: object) -> object:
    try:
        return to_json_data(value)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}: not serializable>"
